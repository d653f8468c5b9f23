"""Write the options of every command into docs/cli.md, between its two marks, from the command line's own code.

python scripts/make_cli_reference.py
"""

import inspect
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType
from typing import Any

from typer.models import ArgumentInfo, OptionInfo

from mamba_dynamics.cli import COMMANDS, command

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


def section(command: Callable[..., Any]) -> str:
    says = (inspect.getdoc(command) or "").replace("\n", " ").replace("  ", " ")
    lines = [f"### {command.__name__}", "", says, "", "| option | value | default | meaning |", "|---|---|---|---|"]
    lines += [row(*one) for one in parameters(command)]
    return "\n".join([*lines, ""])


def parameters(command: Callable[..., Any]) -> Iterator[tuple[str, Any, Any, OptionInfo | ArgumentInfo]]:
    """(name, type, default, what typer knows) of each parameter of a command."""
    hints = typing.get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind, info = typing.get_args(hints[name])[:2]
        yield name, kind, parameter.default, info


def row(name: str, kind: Any, default: Any, info: OptionInfo | ArgumentInfo) -> str:
    option = f"--{name.strip('_').replace('_', '-')}"
    called = name.upper() if isinstance(info, ArgumentInfo) else (info.param_decls or [option])[0]
    if default is inspect.Parameter.empty:
        shown = "required"
    elif default is True:
        shown = f"on; off with `--no{called[1:]}`"
    else:
        shown = "" if default is None or default is False else f"`{default}`"
    return f"| `{called}` | {value(kind, info)} | {shown} | {cell(info.help or '')} |"


def value(kind: Any, info: OptionInfo | ArgumentInfo) -> str:
    """What an option takes: "integer, at least 1", "number", "text", "path", nothing for a flag."""
    single = next((one for one in typing.get_args(kind) if one is not NoneType), kind)
    if typing.get_origin(single) is list:
        return f"{value(*typing.get_args(single), info)}, any number of times"
    words = {bool: "", int: "integer", float: "number", str: "text", Path: "path"}[single]
    return words if info.min is None else f"{words}, at least {info.min:g}"


def cell(text: str) -> str:
    """Text for a table's cell, without what Markdown would take for its own."""
    for sign in "*_|":
        text = text.replace(sign, f"\\{sign}")
    return text.replace("<", "&lt;")


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")
