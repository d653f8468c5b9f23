"""The command line: thin commands that parse, call the public functions and print.

Exit codes: 0 done; 1 an error, said in one line on stderr; 2 wrong usage; 3 done, but some verdict is
undecided or theory and simulation disagree; 4 done, but `classify --fail-on` found what it rules out;
130 after Ctrl-C, 143 after SIGTERM, 141 where the reader of stdout went away.
"""

import gc
import sys
from importlib import import_module

import click

from .._streams import forget_unwritable_stderr, stdout_fault
from .command import Command, Group, code_of

#: Every command, a module and a function of its name, and the line that the list of commands says of it.
COMMANDS = {
    "classify": "Say what tokens do in each S6 layer of a checkpoint: eigenvalue rule, certificate, and the tokens' "
    "own ODE.",
    "doctor": "Say what is installed and where it runs, and check a few numbers that are known in closed form "
    "(seconds).",
    "fidelity": "Say how ODE-like a language model is: the paper's limit, the residual stream as a flow, and what is "
    "dropped.",
    "figures": "Make figures: OUT/NAME/data.npz and OUT/NAME/NAME.png, .svg, .pdf.",
    "report": "Write what `classify` finds as one HTML page: in words, in pictures, layer by layer; for readers new "
    "to it.",
    "simulate": "Integrate tokens under one S6 layer into their asymptotic regime, and compare with the theory.",
    "sweep": "Integrate systems over a grid, a random design or a checkpoint's channels; killed at any moment, it "
    "goes on.",
    "train": "Train a model on an experiment's task; killed at any moment and started again, it goes on bit for bit.",
    "verify": "Check every theorem: its proof by algebra, its conclusion over random cases, its limits by "
    "counterexample.",
}


def command(name: str) -> Command:
    """One of `COMMANDS`, its module imported."""
    return getattr(import_module(f".{name}", __name__), name)


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        click.echo(version("mamba-dynamics"))
        ctx.exit()


app = Group(
    COMMANDS,
    command,
    name="mamba-dynamics",
    help="From the weights of a Mamba layer to a verdict on what its tokens do.",
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and exit.",
        )
    ],
)


def main() -> None:
    """Run the command line. What was printed is written out here, where a failure can still be told in one line."""
    try:
        app(prog_name="mamba-dynamics")
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


def _leave(code: int) -> None:
    """Exit with the code, unless stdout cannot be written."""
    gc.freeze()  # all memory goes at once: looking for garbage in it takes a tenth of a short command
    fault = stdout_fault()
    if fault is not None:
        code = code_of(fault)
    forget_unwritable_stderr()
    sys.exit(code)
