"""How commands are declared: click's, with help for arguments, defaults that are shown, and errors in one line."""

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from .._close_names import did_you_mean
from .._errors import MambaDynamicsError, NoSuchLayer
from .._stop import READER_GONE
from .._streams import forget, stdout_fault, tell
from .names import Name
from .output import complain, fail, refuse

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 120, "show_default": True}

PATH = click.Path(path_type=Path)
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".json")


class Argument(click.Argument):
    """An argument that says what it is for, which click's own do only since 8.5."""

    def __init__(self, names: Iterable[str], says: str, **settings: Any):
        super().__init__(tuple(names), **settings)
        self.says = says

    def help_row(self, context: click.Context) -> tuple[str, str]:
        return self.make_metavar(context), self.says


class Command(click.Command):
    """A command whose help has a part for arguments, and whose errors know it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as wrong:
            wrong.ctx = wrong.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        arguments = [one.help_row(ctx) for one in self.params if isinstance(one, Argument)]
        options = [one.get_help_record(ctx) for one in self.get_params(ctx) if isinstance(one, click.Option)]
        for title, rows in (("Arguments", arguments), ("Options", [row for row in options if row is not None])):
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)


class Group(click.Group):
    """Commands that are imported when they are called, and not for the list of them.

    `says` is the line that the list has for each, `load` finds the command of a name.
    """

    def __init__(self, says: dict[str, str], load: Callable[[str], click.Command], **settings: Any):
        super().__init__(no_args_is_help=True, context_settings=SETTINGS, **settings)
        self.says, self.load = says, load

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.says)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return self.load(cmd_name) if cmd_name in self.says else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.says.items()))

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if name in self.says or name.startswith("-"):
            return super().resolve_command(ctx, args)
        meant = did_you_mean(name, [*self.says, "--help", "--version"], closing="")
        if not meant and (os.path.lexists(name) or "/" in name or Path(name).suffix in _WEIGHTS):
            meant = "to judge the checkpoint at a path: mamba-dynamics classify PATH"
        ctx.fail(f"no such command {name!r}: {meant or 'choose from ' + ', '.join(self.says)}")

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Commands with what the list says of them, and options; no command is imported."""
        commands = [CompletionItem(name, help=said) for name, said in self.says.items() if name.startswith(incomplete)]
        return [*commands, *click.Command.shell_complete(self, ctx, incomplete)]

    def main(self, *args: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        """Run a command and exit; wrong usage is told in one line, with code 2."""
        if not standalone_mode:
            return super().main(*args, standalone_mode=False, **settings)
        try:
            code = super().main(*args, standalone_mode=False, **settings)
        except click.exceptions.NoArgsIsHelpError as nothing:
            with contextlib.suppress(OSError):
                nothing.show()
            code = nothing.exit_code
        except click.UsageError as wrong:
            about = "mamba-dynamics" if wrong.ctx is None else wrong.ctx.command_path
            complain(f"{_words(wrong)} (see {about} --help)")
            code = wrong.exit_code
        except click.Abort:
            code = 130
        except SystemExit as end:
            # So click ends after a shell's completion, and with a code where the reader of a help text went away.
            if end.code:
                forget(1)
            code = READER_GONE if end.code else 0
        except OSError as error:
            code = code_of(stdout_fault() or error)
        raise SystemExit(code)


def _words(wrong: click.UsageError) -> str:
    """Click's words for wrong usage, without its full stop, and with one list of what was meant."""
    if isinstance(wrong, click.NoSuchOption):
        known = [] if wrong.ctx is None else [name for one in wrong.ctx.command.params for name in one.opts]
        meant = did_you_mean(wrong.option_name, [name for name in known if name.startswith("--")], closing="")
        return f"no such option {wrong.option_name}{f': {meant}' if meant else ''}"
    words = wrong.format_message().rstrip(".")
    extra = re.fullmatch(r"Got unexpected extra arguments? \((\S+).*\)", words, re.DOTALL)
    return words if extra is None or wrong.ctx is None else f"{words}{_of_an_option(extra[1], wrong.ctx.command)}"


def _of_an_option(word: str, command: click.Command) -> str:
    """Whose value an argument too many may be: an option's that takes such names, or none's."""
    for one in command.params:
        if isinstance(one, click.Option) and isinstance(one.type, Name) and word in one.type.known():
            return f": did you mean {one.opts[0]} {word}?"
    takes = sum(one.nargs for one in command.params if isinstance(one, click.Argument))
    return f": {command.name} takes {'one argument' if takes else 'options only'}"


def code_of(fault: OSError) -> int:
    """The exit code where stdout cannot be written, which is told unless its reader went away."""
    if isinstance(fault, BrokenPipeError):
        return READER_GONE
    complain(f"expected to write to stdout, found: {fault.strerror}")
    return 1


def command(run: Callable[..., None]) -> Command:
    """The command of a function, under its name; its docstring is the help."""
    return click.command(name=run.__name__, cls=Command, context_settings=SETTINGS)(one_line_errors(run))


def argument(*names: str, says: str, **settings: Any) -> Callable[[Any], Any]:
    """An argument, which may be left out unless `required`."""
    return click.argument(*names, cls=Argument, says=says, **({"required": False} | settings))


def picture(says: str) -> Callable[[Any], Any]:
    """`--plot FILE`, refused before any work where the file's name tells no format."""
    return click.option("--plot", type=PATH, callback=_require_format, help=says)


def _require_format(ctx: click.Context, option: click.Parameter, plot: Path | None) -> Path | None:
    if plot is not None and plot.suffix not in (".png", ".svg", ".pdf"):
        refuse(f"expected a file that ends in .png, .svg or .pdf, found {plot.name!r}", "--plot")
    return plot


as_json = click.option("--json", is_flag=True, help="One JSON document on stdout.")


def one_line_errors(run: Callable[..., None]) -> Callable[..., None]:
    """Turn the package's own errors into one line on stderr and exit code 1."""

    @functools.wraps(run)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            run(*args, **kwargs)
        except NoSuchLayer as error:
            raise click.UsageError(str(error), click.get_current_context()) from None
        except MambaDynamicsError as error:
            fail(str(error))
        except OSError as error:
            fault = stdout_fault()
            if fault is not None or isinstance(error, BrokenPipeError):
                raise click.exceptions.Exit(code_of(fault or error)) from None
            where = f" {error.filename}" if error.filename else ""
            fail(f"expected to read or write{where or ' files and stdout'}, found: {error.strerror or error}")
        except MemoryError:
            fail("expected enough memory, found too little: give fewer tokens or layers, or another machine")
        except KeyboardInterrupt:
            tell("interrupted")
            raise click.exceptions.Exit(130) from None

    return guarded
