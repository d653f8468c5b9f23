"""The one style of every picture: readable at a paper's column width, told apart by colour-blind readers, no LaTeX.

plt.rcParams.update(STYLE)                  # in a notebook
with plt.rc_context(STYLE): ...             # around one figure

Needs no matplotlib itself: it is data.
"""

from typing import Any

#: Okabe and Ito's colours for tokens 1, 2, ..., in an order that also differs in lightness; then they repeat.
TOKEN_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#8C6D31")

#: Signed quantities: purple below zero, white at zero, orange above.
SIGNED = "PuOr_r"
#: Quantities of one sign; light is small.
UNSIGNED = "cividis"

#: How runs ended, by the names of `mamba_dynamics.Outcome`: purple shrinks, orange grows, grey decides nothing.
OUTCOME_COLOURS = {
    "converged_to_zero": "#5E3C99",
    "converged_to_equilibrium": "#B2ABD2",
    "diverges_slowly": "#FDB863",
    "blew_up": "#A33A00",
    "reached_until": "#56B4E9",
    "budget_exhausted": "#8A8A8A",
    "solver_failed": "#000000",
    "not_done": "#FFFFFF",
}

#: What the theory says is drawn like this over what was measured.
PREDICTED: dict[str, Any] = {"color": "black", "linestyle": (0, (4, 2)), "linewidth": 1.0, "zorder": 3}

#: Width in inches of one column of a two-column paper, and of its whole page.
COLUMN, PAGE = 3.4, 7.0

#: matplotlib's settings.
STYLE: dict[str, Any] = {
    "axes.grid": True,
    "axes.labelsize": 8,
    "axes.prop_cycle": "cycler('color', [" + ", ".join(f"'{colour}'" for colour in TOKEN_COLOURS) + "])",
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 8,
    "figure.constrained_layout.use": True,
    "figure.dpi": 150,
    "figure.figsize": (COLUMN, 2.4),
    "font.size": 8,
    "grid.alpha": 0.25,
    "grid.linewidth": 0.5,
    "image.interpolation": "nearest",
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "mathtext.fontset": "dejavusans",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
    "svg.fonttype": "path",
    "svg.hashsalt": "mamba_dynamics",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
}
