"""What every command shares: one line for an error, JSON on stdout, people's text for rich."""

import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
from click.core import ParameterSource

from .._streams import tell

#: Exit code of a run that is done but holds an undecided or contradicted verdict.
UNDECIDED_OR_DISAGREES = 3


def fail(message: str) -> NoReturn:
    """Print one line on stderr and exit with code 1."""
    complain(message)
    raise click.exceptions.Exit(1)


def complain(message: str) -> None:
    """Print one line on stderr; control characters of untrusted names are escaped."""
    from .._documents import printable

    tell(f"mamba-dynamics: {printable(' '.join(message.split()))}")


def refuse(why: str, option: str | None = None) -> NoReturn:
    """End with code 2, wrong usage: what was expected, what was found."""
    if option is None:
        raise click.UsageError(why)
    raise click.BadParameter(why, param_hint=option)


def was_given(name: str) -> bool:
    """Whether the parameter of the command that runs was written by the user, and is not its default."""
    return click.get_current_context().get_parameter_source(name) is ParameterSource.COMMANDLINE


def dashed(name: str) -> str:
    """A parameter's name as it is written: "max_steps" is --max-steps."""
    return f"--{name.replace('_', '-')}"


def listed(names: Sequence[str], word: str) -> str:
    """Options in words: "--text, --text-file or --token-ids"."""
    *first, last = map(dashed, names)
    return f"{', '.join(first)} {word} {last}" if first else last


def counted(count: int, noun: str) -> str:
    """A number of things: "1 S6 layer", "3 S6 layers"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def as_markup(text: str) -> str:
    """A stranger's text for rich, whose markup it must not be taken for; control characters are escaped."""
    from rich.markup import escape

    from .._documents import printable

    return escape(printable(text))


def print_json(document: dict[str, Any]) -> None:
    from .._documents import to_json

    sys.stdout.write(to_json(document) + "\n")


def numbers(text: str, option: str) -> list[float]:
    """The finite numbers of a comma-separated option."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        refuse(f"expected numbers separated by commas, found {text!r}", option)
    return [finite(number, option) for number in found]


def finite(number: float, option: str) -> float:
    """The number of an option, with code 1 where it is NaN or infinite."""
    if not math.isfinite(number):
        fail(f"{option}: expected a finite number, found {number}")
    return number


def key_values(settings: Iterable[str], option: str) -> dict[str, str]:
    """{KEY: VALUE} of an option that is given any number of times."""
    pairs = [setting.partition("=") for setting in settings]
    for key, equals, _ in pairs:
        if not equals:
            refuse(f"expected KEY=VALUE, found {key!r}", option)
    return {key.strip(): value.strip() for key, _, value in pairs}


def save_figure(figure: Any, path: Path) -> None:
    """Write a picture in the format of its name, whole or not at all."""
    from .._files import write_whole

    try:
        write_whole(path, lambda file: figure.savefig(file, format=path.suffix[1:]))
    except OSError as error:
        fail(f"expected to write {path}, found {error.strerror}: choose another --plot")
