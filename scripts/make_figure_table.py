"""Write paper_figures/README.md: figure -> claim -> command -> run time, from the figures' own descriptions.

python scripts/make_figure_table.py
"""

from paper_figures.catalogue import FIGURES, FOLDER, PaperFigure

INTRODUCTION = """# The figures

One folder each: `figure.toml` says what is shown, `compute.py` computes the data (seeded, on the CPU), `plot.py` only
reads them. `mamba-dynamics figures --out DIR` makes all of them, as PNG, SVG and PDF; data that are there already from
the same code and seed are used again. `tests/figures` compares the data of each with the theory. This table is written
by `python scripts/make_figure_table.py`; the run times are upper bounds on two cores, held by a test.

| figure | claim | in the paper | command | run time |
|---|---|---|---|---|
"""


def row(figure: PaperFigure) -> str:
    command = f"`mamba-dynamics figures {figure.name} --out DIR`"
    where = figure.paper or "new here"
    name = f"[{figure.name}]({figure.name}/figure.toml)"
    return f"| {name} | {figure.claim} | {where} | {command} | < {figure.seconds} s |"


def page() -> str:
    return INTRODUCTION + "\n".join(map(row, FIGURES.values())) + "\n"


if __name__ == "__main__":
    (FOLDER / "README.md").write_text(page(), encoding="utf-8")
