"""The catalogue: every theorem and every sharp statement, one file each."""

from ..contract import Theorem
from .attention_at_blow_up import THEOREM as attention_at_blow_up
from .attention_convergent import THEOREM as attention_convergent
from .attention_sink import THEOREM as attention_sink
from .blow_up_bounds import THEOREM as blow_up_bounds
from .blow_up_power import THEOREM as blow_up_power
from .blow_up_time import THEOREM as blow_up_time
from .bounded_before_first import THEOREM as bounded_before_first
from .constant_step_size import THEOREM as constant_step_size
from .convergent_bound import THEOREM as convergent_bound
from .convergent_constants import THEOREM as convergent_constants
from .convergent_rate import THEOREM as convergent_rate
from .depth_limit import THEOREM as depth_limit
from .dichotomy import THEOREM as dichotomy
from .eigenvalue_rule import THEOREM as eigenvalue_rule
from .equilibria import THEOREM as equilibria
from .fast_divergence_existence import THEOREM as fast_divergence_existence
from .first_token_signs import THEOREM as first_token_signs
from .flip_symmetry import THEOREM as flip_symmetry
from .frozen_ratios import THEOREM as frozen_ratios
from .general_rates import THEOREM as general_rates
from .generic_inertia import THEOREM as generic_inertia
from .iterated_logarithms import THEOREM as iterated_logarithms
from .monotonicity import THEOREM as monotonicity
from .negative_definite import THEOREM as negative_definite
from .negative_definite_escape import THEOREM as negative_definite_escape
from .orthant_criterion import THEOREM as orthant_criterion
from .same_power_tokens import THEOREM as same_power_tokens
from .scaling_symmetry import THEOREM as scaling_symmetry
from .self_similar_blow_up import THEOREM as self_similar_blow_up
from .slow_divergence_bound import THEOREM as slow_divergence_bound
from .slow_divergence_law import THEOREM as slow_divergence_law
from .spectral_identities import THEOREM as spectral_identities
from .unequal_biases import THEOREM as unequal_biases
from .well_posedness import THEOREM as well_posedness
from .zero_mu import THEOREM as zero_mu
from .zero_tokens import THEOREM as zero_tokens
from .zero_tokens_at_blow_up import THEOREM as zero_tokens_at_blow_up

_ALL = (
    well_posedness,
    monotonicity,
    scaling_symmetry,
    flip_symmetry,
    depth_limit,
    dichotomy,
    zero_mu,
    convergent_rate,
    convergent_constants,
    zero_tokens,
    convergent_bound,
    attention_convergent,
    general_rates,
    slow_divergence_bound,
    slow_divergence_law,
    frozen_ratios,
    attention_sink,
    fast_divergence_existence,
    blow_up_time,
    blow_up_bounds,
    blow_up_power,
    bounded_before_first,
    same_power_tokens,
    iterated_logarithms,
    zero_tokens_at_blow_up,
    attention_at_blow_up,
    constant_step_size,
    first_token_signs,
    negative_definite,
    negative_definite_escape,
    eigenvalue_rule,
    equilibria,
    orthant_criterion,
    unequal_biases,
    generic_inertia,
    spectral_identities,
    self_similar_blow_up,
)

#: Every theorem by name, in the order of the theory.
CATALOGUE: dict[str, Theorem] = {theorem.name: theorem for theorem in _ALL}
