"""The command line, as `mamba-dynamics` and as `python -m mamba_dynamics`.

Signals are looked after before anything that takes time is imported.
"""

import gc
import os

from ._stop import end_by_signals
from ._streams import open_closed_streams


def main() -> None:
    """Run the command line."""
    open_closed_streams()
    end_by_signals()
    # numpy's matrices are narrow here: a second thread of its linear algebra would only wait for a core.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(50_000)  # what is imported is no garbage: looking through it takes a tenth of a short command
    from .cli import main

    main()


if __name__ == "__main__":
    main()
