"""Types of options that take one of several names: refused with the closest ones, and completed by the shell.

What names there are is looked up only when one is given or completed, and without importing JAX: a command's help waits
for none of it.
"""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .._close_names import did_you_mean

_PACKAGE = Path(__file__).resolve().parents[1]


class Name(click.ParamType):
    """One of the names that `known` returns.

    With `comma`, a list of them; completion then goes on behind the last comma. Without `strict` other texts pass, for
    a reader that knows better (a spec may be a file).
    """

    name = "text"

    def __init__(
        self, known: Callable[[], Iterable[str]], *, strict: bool = False, comma: bool = False, files: bool = False
    ):
        self.known, self.strict, self.comma, self.files = known, strict, comma, files

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if self.strict and value not in (names := list(self.known())):
            self.fail(f"expected one of {', '.join(names)}, found {value!r}{_meant(value, names)}", param, ctx)
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        before, comma, last = incomplete.rpartition(",") if self.comma else ("", "", incomplete)
        taken = set(before.split(","))
        found = [name for name in self.known() if name.startswith(last) and name not in taken]
        if self.files and (not found or "/" in incomplete or incomplete.startswith((".", "~"))):
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(before + comma + name) for name in found]


def _meant(value: str, names: list[str]) -> str:
    words = did_you_mean(value, names, closing="")
    return f": {words}" if words else ""


class CheckpointPath(click.ParamType):
    """A path or the id of a model on the hub: any text, of which the shell completes files."""

    name = "path or id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class Tolerance(click.ParamType):
    """A number between 0 and 1, neither of them."""

    name = "number between 0 and 1"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not 0 < number < 1:
            self.fail(f"expected a tolerance between 0 and 1, such as 1e-8, found {value}", param, ctx)
        return number


def theorems() -> list[str]:
    """The names of the catalogue: one file each."""
    return _stems(_PACKAGE / "theorems" / "catalogue", "*.py")


def experiments() -> list[str]:
    return _stems(_PACKAGE / "training" / "experiments", "*.toml")


def sweeps() -> list[str]:
    return _stems(_PACKAGE / "sweeps" / "designs", "*.toml")


def figures() -> list[str]:
    """The figures: every folder of `paper_figures` with a `figure.toml`."""
    return sorted(path.parent.name for path in (_PACKAGE.parent / "paper_figures").glob("*/figure.toml"))


def variants() -> tuple[str, ...]:
    from ..checkpoints.definite import VARIANTS

    return VARIANTS


def scenarios() -> list[str]:
    from .._outcomes import Scenario

    return [one.value for one in Scenario]


def levels() -> list[str]:
    from .gate import SHOWN_BY

    return list(SHOWN_BY)


def formats() -> list[str]:
    return ["png", "svg", "pdf"]


def _stems(folder: Path, pattern: str) -> list[str]:
    return sorted(path.stem for path in folder.glob(pattern) if not path.stem.startswith("_"))
