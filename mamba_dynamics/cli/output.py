"""What every command shares: errors in one line, JSON on stdout, people's text through rich."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from .._documents import printable, to_json
from .._errors import MambaDynamicsError
from .._stop import READER_GONE, forget_stdout

#: Exit code of a run that is done but holds an undecided or contradicted verdict.
UNDECIDED_OR_DISAGREES = 3


def one_line_errors(command: Callable[..., None]) -> Callable[..., None]:
    """Turn the package's own errors into one line on stderr and exit code 1."""

    @functools.wraps(command)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except MambaDynamicsError as error:
            fail(str(error))
        except BrokenPipeError:
            forget_stdout()
            raise typer.Exit(READER_GONE) from None
        except OSError as error:
            where = f" {error.filename}" if error.filename else ""
            fail(f"expected to read or write{where or ' files and stdout'}, found: {error.strerror or error}")
        except MemoryError:
            fail("expected enough memory, found too little: give fewer tokens or layers, or another machine")
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None

    return guarded


def fail(message: str) -> None:
    """Print one line on stderr and exit with code 1; control characters of untrusted names are escaped."""
    typer.echo(f"mamba-dynamics: {printable(' '.join(message.split()))}", err=True)
    raise typer.Exit(1)


def as_markup(text: str) -> str:
    """A stranger's text for rich, whose markup it must not be taken for; control characters are escaped."""
    from rich.markup import escape

    return escape(printable(text))


def print_json(document: dict[str, Any]) -> None:
    sys.stdout.write(to_json(document) + "\n")


def numbers(text: str, option: str) -> list[float]:
    """The numbers of a comma-separated option."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"expected numbers separated by commas, found {text!r}", param_hint=option) from None


def key_values(settings: list[str], option: str) -> dict[str, str]:
    """{KEY: VALUE} of an option that is given any number of times."""
    pairs = [setting.partition("=") for setting in settings]
    for key, equals, _ in pairs:
        if not equals:
            raise typer.BadParameter(f"expected KEY=VALUE, found {key!r}", param_hint=option)
    return {key.strip(): value.strip() for key, _, value in pairs}


def save_figure(figure: Any, path: Path) -> None:
    """Write a picture in the format of its name, whole or not at all."""
    from .._files import write_whole

    try:
        write_whole(path, lambda file: figure.savefig(file, format=path.suffix[1:]))
    except OSError as error:
        fail(f"expected to write {path}, found {error.strerror}: choose another --plot")
