"""Write docs/claims.md from docs/claims.toml: each claim of the paper, what was found, the figure, the command.

python scripts/make_claims_page.py
"""

import tomllib
from pathlib import Path
from typing import Any

from mamba_dynamics import CATALOGUE
from paper_figures.catalogue import FIGURES

DOCS = Path(__file__).resolve().parents[1] / "docs"

INTRODUCTION = """# The paper's claims

Every claim of "Demystifying the Token Dynamics of Deep Selective State Space Models"
([arXiv 2410.03292](https://arxiv.org/abs/2410.03292)) about what tokens do: what it says, what is found here, the
figure that shows it and the command that checks it. In one dimension $\\mu = S_C S_B$, $s = S_\\Delta$,
$\\delta_0 = \\mathrm{softplus}(b)$; [Notation](notation.md) has the rest.
"""

#: How a finding is put in words.
FINDINGS = {
    "holds": "It holds",
    "sharpened": "It holds, and more is true",
    "not sharp": "True, but not sharp",
    "fails": "It fails as stated",
    "not reproduced": "Not in general, at the scale measured here",
}


def read() -> list[dict[str, Any]]:
    """The claims, in the paper's order."""
    return tomllib.loads((DOCS / "claims.toml").read_text(encoding="utf-8"))["claim"]


def page() -> str:
    claims = read()
    rows = [f"| [{claim['title']}](#{anchor(claim)}) | {FINDINGS[claim['found']]} |" for claim in claims]
    table = "\n".join(["| claim | finding |", "|---|---|", *rows])
    return "\n\n".join([INTRODUCTION, table, *map(section, claims)]) + "\n"


def anchor(claim: dict[str, Any]) -> str:
    """The anchor that Markdown gives the claim's heading."""
    kept = "".join(char for char in claim["title"].lower() if char.isalnum() or char in " -")
    return kept.replace(" ", "-")


def section(claim: dict[str, Any]) -> str:
    figure = FIGURES[claim["figure"]]
    links = ", ".join(f"[{CATALOGUE[name].title}](theorems/{name}.md)" for name in claim["theorems"])
    parts = [
        f"## {claim['title']}",
        f"**The paper:** {claim['says']}",
        f"**{FINDINGS[claim['found']]}.** {claim['what']}",
        f"Theorems: {links}." if links else "",
        f"![{figure.claim}](figures/{figure.name}.svg)",
        f"Figure: [{figure.title}](figures.md#{figure.name}). Notebook: [{claim['notebook']}]({notebook(claim)}).",
        "\n".join(["```bash", *commands(claim), "```"]),
    ]
    return "\n\n".join(part for part in parts if part)


def notebook(claim: dict[str, Any]) -> str:
    return f"notebooks/{claim['notebook']}.md"


def commands(claim: dict[str, Any]) -> list[str]:
    options = " ".join(f"--theorem {name}" for name in claim["theorems"])
    verify = [f"mamba-dynamics verify {options}"] if options else []
    others = [claim["command"]] if "command" in claim else []
    return [*verify, *others, f"mamba-dynamics figures {claim['figure']} --out build/figures"]


if __name__ == "__main__":
    (DOCS / "claims.md").write_text(page(), encoding="utf-8")
