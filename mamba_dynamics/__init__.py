"""Token dynamics of Mamba: from the weights of a selective state space layer to a verdict on what its tokens do.

    checkpoint = open_checkpoint("path/to/model")         # headers and config only
    layer = checkpoint.layer(0)                           # S6Layer: S_B, S_C, S_Delta, a, dt_bias
    weights_verdict(layer)                                # spectra and certified signs, no tokens needed
    dynamics = token_dynamics(layer)                      # the ODE of the infinite-depth limit
    trajectory = solve(dynamics, x0)                      # into the true asymptotic regime
    verdict = classify(layer, x0)                         # theory and simulation side by side
    verify(["dichotomy"])                                 # a theorem: algebra, random cases, certificates

Names are loaded when first used: judging weights alone imports neither JAX nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._block_facts import BlockFacts as BlockFacts
    from ._consensus import Consensus as Consensus
    from ._errors import CheckpointError as CheckpointError
    from ._errors import CorruptFile as CorruptFile
    from ._errors import HypothesisError as HypothesisError
    from ._errors import LayerShapeError as LayerShapeError
    from ._errors import MambaDynamicsError as MambaDynamicsError
    from ._errors import MissingTensor as MissingTensor
    from ._errors import NoSuchLayer as NoSuchLayer
    from ._errors import SolveError as SolveError
    from ._errors import SweepError as SweepError
    from ._errors import UnsafeFile as UnsafeFile
    from ._errors import UnsupportedArchitecture as UnsupportedArchitecture
    from ._fidelity import Fidelity as Fidelity
    from ._fidelity import fidelity as fidelity
    from ._layer import Multipliers as Multipliers
    from ._layer import Norms as Norms
    from ._layer import RMSNorm as RMSNorm
    from ._layer import S6Layer as S6Layer
    from ._outcomes import KnownBy as KnownBy
    from ._outcomes import Outcome as Outcome
    from ._outcomes import Scenario as Scenario
    from ._outcomes import TokenFate as TokenFate
    from ._outcomes import Truth as Truth
    from ._rates import Estimate as Estimate
    from ._rates import limiting_slope as limiting_slope
    from ._rates import limiting_value as limiting_value
    from ._rates import significance as significance
    from ._report import Report as Report
    from ._report import classify_checkpoint as classify_checkpoint
    from ._solve import Horizon as Horizon
    from ._solve import solve as solve
    from ._tokens_verdict import TokenStatistics as TokenStatistics
    from ._tokens_verdict import TokensVerdict as TokensVerdict
    from ._tokens_verdict import tokens_verdict as tokens_verdict
    from ._trajectory import BlowUp as BlowUp
    from ._trajectory import TokenTrajectory as TokenTrajectory
    from ._verdict import TokenVerdict as TokenVerdict
    from ._verdict import Verdict as Verdict
    from ._verdict import classify as classify
    from ._weights_verdict import WeightsVerdict as WeightsVerdict
    from ._weights_verdict import weights_verdict as weights_verdict
    from .certificates import Enclosure as Enclosure
    from .certificates import blow_up_bound as blow_up_bound
    from .certificates import enclose as enclose
    from .certificates import own_blow_up_time as own_blow_up_time
    from .certificates import proved_scenario as proved_scenario
    from .certificates import strictly_copositive as strictly_copositive
    from .checkpoints import Checkpoint as Checkpoint
    from .checkpoints import open_checkpoint as open_checkpoint
    from .dynamics import AbstractTokenDynamics as AbstractTokenDynamics
    from .dynamics import token_dynamics as token_dynamics
    from .models import ABLATIONS as ABLATIONS
    from .models import Block as Block
    from .models import MambaLM as MambaLM
    from .models import Stages as Stages
    from .models import Visit as Visit
    from .models import load_model as load_model
    from .models import radial_rates as radial_rates
    from .models import walk as walk
    from .models.consensus import ConsensusCurve as ConsensusCurve
    from .models.consensus import consensus as consensus
    from .plotting import plot_alignments as plot_alignments
    from .plotting import plot_channels as plot_channels
    from .plotting import plot_consensus as plot_consensus
    from .plotting import plot_hidden_attention as plot_hidden_attention
    from .plotting import plot_phase_diagram as plot_phase_diagram
    from .plotting import plot_radial_rates as plot_radial_rates
    from .plotting import plot_scenarios as plot_scenarios
    from .plotting import plot_spectra as plot_spectra
    from .plotting import plot_step_sizes as plot_step_sizes
    from .plotting import plot_symmetric_part as plot_symmetric_part
    from .plotting import plot_trajectory as plot_trajectory
    from .refinements import DefiniteCertificate as DefiniteCertificate
    from .refinements import DefiniteProjection as DefiniteProjection
    from .refinements import ImportanceReordering as ImportanceReordering
    from .refinements import NearestDefinite as NearestDefinite
    from .refinements import hard_order as hard_order
    from .refinements import importance_scores as importance_scores
    from .refinements import load_refined as load_refined
    from .refinements import nearest_definite as nearest_definite
    from .refinements import paper_threshold as paper_threshold
    from .refinements import save_model as save_model
    from .refinements import soft_sort as soft_sort
    from .refinements import with_definite as with_definite
    from .refinements import with_reordering as with_reordering
    from .sample import sample_path as sample_path
    from .style import OUTCOME_COLOURS as OUTCOME_COLOURS
    from .style import PREDICTED as PREDICTED
    from .style import SIGNED as SIGNED
    from .style import STYLE as STYLE
    from .style import TOKEN_COLOURS as TOKEN_COLOURS
    from .sweeps import Runs as Runs
    from .sweeps import solve_many as solve_many
    from .sweeps.run import Processes as Processes
    from .sweeps.run import Swept as Swept
    from .sweeps.run import run_sweep as run_sweep
    from .sweeps.spec import Sweep as Sweep
    from .sweeps.spec import read_sweep as read_sweep
    from .theorems import GrowthLaw as GrowthLaw
    from .theorems import LawName as LawName
    from .theorems import Prediction as Prediction
    from .theorems import ScalarSystem as ScalarSystem
    from .theorems import predict_laws as predict_laws
    from .theorems import predict_scenario as predict_scenario
    from .theorems.asymptotics import Asymptotics as Asymptotics
    from .theorems.asymptotics import Growth as Growth
    from .theorems.asymptotics import TokenAsymptotics as TokenAsymptotics
    from .theorems.asymptotics import asymptotics as asymptotics
    from .theorems.catalogue import CATALOGUE as CATALOGUE
    from .theorems.contract import Case as Case
    from .theorems.contract import Expected as Expected
    from .theorems.contract import Hypothesis as Hypothesis
    from .theorems.contract import Theorem as Theorem
    from .theorems.contract import Told as Told
    from .verification.verify import TheoremReport as TheoremReport
    from .verification.verify import Verification as Verification
    from .verification.verify import verify as verify

_NAMES_OF = {
    "_block_facts": "BlockFacts",
    "_consensus": "Consensus",
    "_errors": (
        "CheckpointError CorruptFile HypothesisError LayerShapeError MambaDynamicsError MissingTensor "
        "NoSuchLayer SolveError SweepError UnsafeFile UnsupportedArchitecture"
    ),
    "_fidelity": "Fidelity fidelity",
    "_layer": "Multipliers Norms RMSNorm S6Layer",
    "_outcomes": "KnownBy Outcome Scenario TokenFate Truth",
    "_rates": "Estimate limiting_slope limiting_value significance",
    "_report": "Report classify_checkpoint",
    "_solve": "Horizon solve",
    "_tokens_verdict": "TokenStatistics TokensVerdict tokens_verdict",
    "_trajectory": "BlowUp TokenTrajectory",
    "_verdict": "TokenVerdict Verdict classify",
    "_weights_verdict": "WeightsVerdict weights_verdict",
    "certificates": "Enclosure blow_up_bound enclose own_blow_up_time proved_scenario strictly_copositive",
    "checkpoints": "Checkpoint open_checkpoint",
    "dynamics": "AbstractTokenDynamics token_dynamics",
    "models": "ABLATIONS Block MambaLM Stages Visit load_model radial_rates walk",
    "models.consensus": "ConsensusCurve consensus",
    "plotting": (
        "plot_alignments plot_channels plot_consensus plot_hidden_attention plot_phase_diagram plot_radial_rates "
        "plot_scenarios plot_spectra plot_step_sizes plot_symmetric_part plot_trajectory"
    ),
    "refinements": (
        "DefiniteCertificate DefiniteProjection ImportanceReordering NearestDefinite hard_order importance_scores "
        "load_refined nearest_definite paper_threshold save_model soft_sort with_definite with_reordering"
    ),
    "sample": "sample_path",
    "style": "OUTCOME_COLOURS PREDICTED SIGNED STYLE TOKEN_COLOURS",
    "sweeps": "Runs solve_many",
    "sweeps.run": "Processes Swept run_sweep",
    "sweeps.spec": "Sweep read_sweep",
    "theorems": "GrowthLaw LawName Prediction ScalarSystem predict_laws predict_scenario",
    "theorems.asymptotics": "Asymptotics Growth TokenAsymptotics asymptotics",
    "theorems.catalogue": "CATALOGUE",
    "theorems.contract": "Case Expected Hypothesis Theorem Told",
    "verification.verify": "TheoremReport Verification verify",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

__all__ = sorted(_MODULE_OF)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("mamba-dynamics")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
