"""Draw the three regimes of one-dimensional tokens on the axes where their laws are straight lines.

python scripts/draw_regimes.py docs/images/regimes.svg
"""

import sys

import matplotlib as mpl
import numpy as np

from mamba_dynamics import S6Layer, classify

mpl.use("Agg")
import matplotlib.pyplot as plt

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7")  # Okabe-Ito, told apart by colour-blind readers


def run(mu, s, x0):
    return classify(S6Layer.scalar(mu=mu, S_Delta=s, a=1.0), x0).trajectory


def convergent(axes):
    tokens = run(-1.0, 0.5, [1.0, 0.5, 2.0])
    late = tokens.log_t > -2
    for token, colour in enumerate(COLOURS[:3]):
        axes.plot(tokens.log_t[late], tokens.log_abs[late, token], colour, label=f"token {token + 1}")
    axes.plot([60, 160], [-20, -70], "k--", lw=1, label="slope $-1/2$")
    axes.set(title="convergent: $\\mu < 0$", xlabel="$\\ln t$", ylabel="$\\ln |x_l|$", xlim=(-2, 200), ylim=(-105, 5))


def slow(axes):
    tokens = run(1.0, -1.0, np.ones(4))
    late = tokens.log_t > 1
    for token, colour in enumerate(COLOURS):
        axes.loglog(tokens.log_t[late], np.exp(tokens.log_abs[late, token]), colour, label=f"token {token + 1}")
    ends = np.array([1e2, 1e5])
    axes.loglog(ends, 0.2 * ends, "k--", lw=1, label="slope $1$")
    axes.set(title="slow: $\\mu > 0$, $s x_l < 0$", xlabel="$\\ln t$", ylabel="$|s x_l|$", xlim=(1, 1e5), ylim=(1, 1e6))


def fast(axes):
    tokens = run(1.0, 1.0, [0.5, 3.0, -1.5, 0.1])
    depth = -tokens.log_remaining
    for token, colour in enumerate(COLOURS):
        axes.plot(depth, tokens.log_abs[:, token], colour, label=f"token {token + 1}")
    axes.plot([200, 500], [30, 130], "k--", lw=1, label="slope $1/3$")
    axes.set(
        title="fast: $\\mu > 0$, some $s x_l > 0$", xlabel="$\\ln 1/(T^* - t)$", ylabel="$\\ln |x_l|$", xlim=(0, 600)
    )


def main(path: str) -> None:
    mpl.rcParams.update({"svg.hashsalt": "mamba_dynamics", "font.size": 9, "axes.grid": True, "grid.alpha": 0.3})
    figure, panels = plt.subplots(1, 3, figsize=(9.6, 3.0), layout="constrained")
    for draw, axes in zip((convergent, slow, fast), panels, strict=True):
        draw(axes)
        axes.legend(fontsize=7)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None, dpi=150)


if __name__ == "__main__":
    main(sys.argv[1])
