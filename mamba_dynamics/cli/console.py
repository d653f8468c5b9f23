"""People's text on stdout: rich's console, but a reader who went away is an error like any other."""

from typing import NoReturn

from rich.console import Console as RichConsole


class Console(RichConsole):
    """Rich's own ends the process with code 1."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError
