"""What theory predicts, from weights and initial tokens alone: scenarios and growth laws."""

from .._outcomes import Scenario
from . import convergent, fast_divergence, slow_divergence
from .base import PAPER as PAPER
from .base import GrowthLaw as GrowthLaw
from .base import LawName as LawName
from .base import Prediction as Prediction
from .base import ScalarSystem as ScalarSystem
from .definiteness import predict_from_definiteness as predict_from_definiteness
from .dichotomy import predict_scenario as predict_scenario


def predict_laws(system: ScalarSystem, scenario: Scenario, first_token: int | None = None) -> list[GrowthLaw | None]:
    """Each token's growth law in a scenario; `first_token` (0-based l*) is needed for fast divergence.

    None stands where theory makes no claim.
    """
    if scenario is Scenario.CONVERGENT:
        return list(convergent.laws(system))
    if scenario is Scenario.SLOW_DIVERGENCE:
        return list(slow_divergence.laws(system))
    if scenario is Scenario.FAST_DIVERGENCE and first_token is not None:
        return fast_divergence.laws(system, first_token)
    if scenario is Scenario.CONSTANT:
        return [GrowthLaw(LawName.CONSTANT if x else LawName.ZERO, constant=float(x)) for x in system.x0]
    return [None] * len(system.x0)
