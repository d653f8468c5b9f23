"""The command line, as `mamba-dynamics` and as `python -m mamba_dynamics`.

Signals are looked after before anything that takes time is imported.
"""

from ._stop import stoppable


def main() -> None:
    """Run the command line."""

    def run() -> None:
        from .cli import main

        main()

    stoppable(run)


if __name__ == "__main__":
    main()
