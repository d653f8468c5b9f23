"""Pictures of what the other modules compute: each function draws on given axes and returns them, and never shows them.

plot_hidden_attention(visit.hidden_attention(0), pieces)     a heat map of P, signed, on a logarithmic scale
plot_consensus(report.text.consensus)                        how far tokens point the same way, along the depth
plot_radial_rates(report)                                    which tokens each block grows or shrinks
plot_trajectory(solve(dynamics, x0))                         tokens along a run, with a theory's curves if given
plot_spectra(report), plot_alignments(report), ...           the layers of a checkpoint side by side; report.plot()
plot_phase_diagram(xr.open_zarr(store))                      how the runs of a sweep ended, over its axes
plot_regimes(runs), plot_effects(effects, metric)       training: the blocks' regimes, and a study's comparisons

The `draw_...` functions draw plain arrays on given axes; figures whose data were computed elsewhere use them.

Colours and sizes are those of `mamba_dynamics.STYLE`.
"""

from .axes import as_text as as_text
from .axes import token_axis as token_axis
from .columns import draw_clouds as draw_clouds
from .columns import draw_ranges as draw_ranges
from .columns import draw_scenarios as draw_scenarios
from .columns import draw_shares as draw_shares
from .columns import draw_signed as draw_signed
from .columns import layer_axis as layer_axis
from .layers import plot_alignments as plot_alignments
from .layers import plot_channels as plot_channels
from .layers import plot_scenarios as plot_scenarios
from .layers import plot_spectra as plot_spectra
from .layers import plot_step_sizes as plot_step_sizes
from .layers import plot_symmetric_part as plot_symmetric_part
from .sweeps import plot_phase_diagram as plot_phase_diagram
from .tokens import draw_radial_rates as draw_radial_rates
from .tokens import plot_consensus as plot_consensus
from .tokens import plot_hidden_attention as plot_hidden_attention
from .tokens import plot_radial_rates as plot_radial_rates
from .training import REGIMES_OVER_TRAINING as REGIMES_OVER_TRAINING
from .training import draw_regimes as draw_regimes
from .training import plot_effects as plot_effects
from .training import plot_regimes as plot_regimes
from .training import regime_curves as regime_curves
from .trajectories import plot_trajectory as plot_trajectory
