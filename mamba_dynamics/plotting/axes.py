"""What every picture shares: axes given or new, and token axes labelled with the pieces of a text."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from ..style import STYLE

#: Longer texts get ticks at every so many tokens instead of their pieces.
MOST_PIECES = 40


def given_or_new(ax: Axes | None) -> Axes:
    """The given axes, or those of a new figure in this package's style."""
    if ax is not None:
        return ax
    with plt.rc_context(STYLE):  # pyright: ignore[reportArgumentType]
        return plt.figure(layout="constrained").add_subplot()


def as_text(text: str) -> str:
    """A stranger's text as it stands: a dollar in it begins no mathematics."""
    return text.replace("$", r"\$")


def token_axis(ax: Axes, which: str, count: int, pieces: Sequence[str] | None, label: str) -> None:
    """Label the x or y axis with tokens: their pieces where there are few, else their 1-based numbers."""
    ticks = np.arange(count) if count <= MOST_PIECES else np.arange(0, count, max(1, count // 10))
    texts = [str(i + 1) if pieces is None or count > MOST_PIECES else pieces[i] for i in ticks.tolist()]
    texts = [as_text(text) for text in texts]
    if which == "x":
        ax.set_xticks(ticks, texts)
        ax.set_xlabel(label)
    else:
        ax.set_yticks(ticks, texts)
        ax.set_ylabel(label)


def signed_log_ticks(largest: float, decades: int) -> np.ndarray:
    """Ticks of a symmetric logarithmic scale that stay apart: zero and every second power of ten of either sign."""
    top = int(np.floor(np.log10(largest)))
    powers = 10.0 ** np.arange(top, top - decades + 1, -2)
    return np.array([*-powers, 0.0, *powers[::-1]])
