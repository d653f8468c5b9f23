"""Pictures of what the other modules compute: each function draws on given axes and returns them, and never shows them.

plot_hidden_attention(visit.hidden_attention(0), pieces)     a heat map of P, signed, on a logarithmic scale
plot_consensus(report.text.consensus)                        how far tokens point the same way, along the depth
plot_radial_rates(report)                                    which tokens each block grows or shrinks

Colours and sizes are those of `mamba_dynamics.STYLE`.
"""

from .tokens import plot_consensus as plot_consensus
from .tokens import plot_hidden_attention as plot_hidden_attention
from .tokens import plot_radial_rates as plot_radial_rates
