"""The figures: one folder each, with `compute.py` (writes data) and `plot.py` (only reads it).

    mamba-dynamics figures --out build/figures              # all of them
    mamba-dynamics figures slow_divergence_bound --out DIR  # one

`paper_figures.make` is what that command calls; README.md says which claim each figure shows.
"""
