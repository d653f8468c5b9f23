"""The command line: thin commands that parse, call the public functions and print.

Exit codes: 0 done; 1 an error, said in one line on stderr; 2 wrong usage; 3 done, but some verdict is
undecided or theory and simulation disagree; 4 done, but `classify --fail-on` found what it rules out;
130 after Ctrl-C, 143 after SIGTERM, 141 where the reader of stdout went away.
"""

import sys

import typer

from .._stop import READER_GONE, forget_stdout
from .classify import classify
from .doctor import doctor
from .fidelity import fidelity
from .figures import figures
from .report import report
from .simulate import simulate
from .sweep import sweep
from .train import train
from .verify import verify

app = typer.Typer(
    name="mamba-dynamics",
    help="From the weights of a Mamba layer to a verdict on what its tokens do.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(classify)
app.command()(doctor)
app.command()(fidelity)
app.command()(figures)
app.command()(report)
app.command()(simulate)
app.command()(sweep)
app.command()(train)
app.command()(verify)


@app.callback()
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and exit.", is_eager=True),
) -> None:
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("mamba-dynamics"))
        raise typer.Exit


def main() -> None:
    """Run the command line. What was printed is written out here, where a failure can still be told in one line."""
    try:
        app()
    except SystemExit as end:
        _leave(end.code if isinstance(end.code, int) else 0)


def _leave(code: int) -> None:
    """Exit with the code, unless stdout cannot be written."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        code = READER_GONE
    except OSError as error:
        code = 1
        print(f"mamba-dynamics: expected to write to stdout, found: {error.strerror}", file=sys.stderr)
    else:
        sys.exit(code)
    forget_stdout()
    sys.exit(code)
