"""The command line, as `mamba-dynamics` and as `python -m mamba_dynamics`.

Signals are looked after before anything that takes time is imported.
"""

from ._stop import end_by_signals


def main() -> None:
    """Run the command line."""
    end_by_signals()
    from .cli import main

    main()


if __name__ == "__main__":
    main()
