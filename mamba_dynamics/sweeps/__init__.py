"""Sweeps: phase diagrams over the parameters of a system, in one store that several machines fill and nothing destroys.

sweep = read_sweep("scenarios")                          a grid, a random design, or the channels of a checkpoint
run_sweep(sweep, "store")                                chunk by chunk; killed and called again it goes on
xr.open_zarr("store")                                    labelled data
solve_many(mu=mu, s_delta=s, a=a, x0=x0)                 the engine alone, on arrays
"""

from .batch import Runs as Runs
from .batch import solve_many as solve_many
