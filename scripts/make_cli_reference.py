"""Write the options of every command into docs/cli.md, between its two marks, from the command line's own code.

python scripts/make_cli_reference.py
"""

from pathlib import Path

import click

from mamba_dynamics.cli import COMMANDS, command
from mamba_dynamics.cli.command import Argument, Command

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
BEGIN, END = "<!-- options: written by scripts/make_cli_reference.py -->", "<!-- end of options -->"


def page(text: str) -> str:
    """The page with its options written anew."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{reference()}\n{END}{after}"


def reference() -> str:
    """A section for each command, in the order of the command line's help."""
    return "\n".join(section(command(name)) for name in COMMANDS)


def section(command: Command) -> str:
    says = " ".join((command.help or "").split())
    lines = [f"### {command.name}", "", says, "", "| option | value | default | meaning |", "|---|---|---|---|"]
    return "\n".join([*lines, *map(row, command.params), ""])


def row(parameter: click.Parameter) -> str:
    if isinstance(parameter, Argument):
        called, says = parameter.human_readable_name.strip("[]."), parameter.says
    else:
        assert isinstance(parameter, click.Option)
        called, says = parameter.opts[0], parameter.help or ""
    return f"| `{called}` | {value(parameter)} | {default(parameter)} | {cell(says)} |"


def default(parameter: click.Parameter) -> str:
    if parameter.required:
        return "required"
    if parameter.secondary_opts:
        return f"{'on' if parameter.default else 'off'}; off with `{parameter.secondary_opts[0]}`"
    shown = parameter.to_info_dict()["default"]
    return "" if shown is None or shown is False or shown == () else f"`{shown}`"


def value(parameter: click.Parameter) -> str:
    """What an option takes: "integer, at least 1", "number", "text", "path", nothing for a flag."""
    kind = parameter.type
    words = {"boolean": "", "integer": "integer", "integer range": "integer", "float": "number", "text": "text"}
    said = words.get(kind.name, kind.name)
    if isinstance(kind, click.IntRange):
        said += "".join(
            f", at {word} {bound}" for word, bound in (("least", kind.min), ("most", kind.max)) if bound is not None
        )
    repeated = parameter.nargs == -1 or getattr(parameter, "multiple", False)
    return f"{said}, any number of times" if repeated else said


def cell(text: str) -> str:
    """Text for a table's cell, without what Markdown would take for its own."""
    for sign in "*_|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
