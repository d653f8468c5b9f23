"""Pictures of what the other modules compute: each function draws on given axes and returns them, and never shows them.

plot_hidden_attention(visit.hidden_attention(0), pieces)     a heat map of P, signed, on a logarithmic scale
plot_consensus(report.text.consensus)                        how far tokens point the same way, along the depth
plot_radial_rates(report)                                    which tokens each block grows or shrinks
plot_trajectory(solve(dynamics, x0))                         tokens along a run, with a theory's curves if given

Colours and sizes are those of `mamba_dynamics.STYLE`.
"""

from .tokens import plot_consensus as plot_consensus
from .tokens import plot_hidden_attention as plot_hidden_attention
from .tokens import plot_radial_rates as plot_radial_rates
from .trajectories import plot_trajectory as plot_trajectory
