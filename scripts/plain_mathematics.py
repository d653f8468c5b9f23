"""Mathematics written in plain text, as the catalogue's steps and the figures' captions do, set for a Markdown page.

"kappa_l = 1 - q^{l-1} <= 1" becomes "κ<sub>l</sub> = 1 - q<sup>l-1</sup> ≤ 1": signs, and the two HTML elements that
plain forges render as well as the documentation site does. Formulas that exist as sympy expressions are set in LaTeX
by their own pages; this is for sentences.
"""

import re

_LETTERS = {
    "alpha": "α",
    "beta": "β",
    "delta": "δ",
    "eps": "ε",
    "kappa": "κ",
    "lambda": "λ",
    "mu": "μ",
    "phi": "φ",
    "rho": "ρ",
    "sigma": "σ",
    "tau": "τ",
    "Delta": "Δ",
    "Lambda": "Λ",
    "Theta": "Θ",
    "dtau": "dτ",
    "int": "∫",
    "sqrt": "√",
}
_RELATIONS = {"<=": "≤", ">=": "≥", "!=": "≠", "->": "→", "S_Delta": "S_Δ"}

#: A word of the table, standing alone or before an index: "mu", "delta_0".
_WORD = re.compile(rf"(?<![A-Za-z_\\])({'|'.join(_LETTERS)})(?![A-Za-z])")
#: "sum_d Delta_d", "sum mu_n"; "the sum of mu_n" is prose and stays.
_SUM = re.compile(r"(?<![A-Za-z])sum(?=_| [a-z]+_)")
#: One letter, its differential or a bracket with an index: "x_l0", "dx_d", "c_{l-1}", "S_Δ", "(S x)_d", "δ_d*";
#: "frozen_ratios" is a name and stays.
_INDEX = re.compile(r"((?<![A-Za-z])d?[A-Za-zΑ-Ωα-ω]|\))_(\{[^{}]*\}|[A-Za-z0-9Α-Ωα-ω]+\*?(?:[a-z]\*)?)")
#: A power: "t^(-1/2)", "e^{-a D}", "t^-1/2", "x^2", "W^T".
_POWER = re.compile(r"\^(\{[^{}]*\}|\((?:[^()]|\([^()]*\))*\)|-?[A-Za-z0-9Α-Ωα-ω]+(?:/[0-9]+)?)")
#: What Markdown would take for its own.
_SPECIAL = re.compile(r"(?<!\\)([*_])")


def typeset(text: str) -> str:
    """A sentence with plain-text mathematics as Markdown."""
    for plain, sign in _RELATIONS.items():
        text = text.replace(plain, sign)
    text = _SUM.sub("Σ", text.replace("<", "&lt;"))
    text = _WORD.sub(lambda found: _LETTERS[found[1]], text)
    text = _INDEX.sub(lambda found: f"{found[1]}<sub>{_bare(found[2])}</sub>", text)
    text = _POWER.sub(lambda found: f"<sup>{_bare(found[1])}</sup>", text)
    return _SPECIAL.sub(r"\\\1", text)


def typeset_cell(text: str) -> str:
    """The same, for a cell of a table."""
    return typeset(text).replace("|", "\\|")


def _bare(text: str) -> str:
    """An index or exponent without the brackets that only plain text needs."""
    return (text[1:-1] if text[0] in "{(" else text).replace("-", "−")
