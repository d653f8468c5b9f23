"""`classify`: theory and simulation side by side, on one layer and its initial tokens.

This is the only place where they meet. Theory names a scenario and each token's law from weights and
signs; the simulation says how the run ended and what slopes its tokens show; the verdict compares.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from . import certificates, theorems
from ._errors import HypothesisError
from ._fates import token_fates
from ._layer import S6Layer
from ._outcomes import Outcome, Scenario, TokenFate, Truth
from ._rates import Estimate, agrees, limiting_factor, limiting_slope
from ._regime import Regime
from ._solve import Horizon, solve
from ._trajectory import FloatArray, TokenTrajectory
from .dynamics import token_dynamics
from .theorems import GrowthLaw, LawName, Prediction, ScalarSystem
from .theorems.curves import predicted_log_abs

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .certificates import Enclosure
    from .theorems.asymptotics import Asymptotics

_SCENARIO_OF = {
    Outcome.CONVERGED_TO_ZERO: Scenario.CONVERGENT,
    Outcome.CONVERGED_TO_EQUILIBRIUM: Scenario.EQUILIBRIUM,
    Outcome.DIVERGES_SLOWLY: Scenario.SLOW_DIVERGENCE,
    Outcome.BLEW_UP: Scenario.FAST_DIVERGENCE,
}
#: A token whose ln|x| changed by less stands where it began.
_CREEPS = 1e-9
#: Laws of convergent tokens are read off once what differs from them has fallen by e^-this, at this ln t at the latest.
_SETTLINGS, _LATEST = 40.0, 2.0e4
_DIVERGING = (Scenario.SLOW_DIVERGENCE, Scenario.FAST_DIVERGENCE)


@dataclass(frozen=True)
class TokenVerdict:
    """One token (0-based `index`): its fate in the run, its predicted law, and the law measured."""

    index: int
    fate: TokenFate
    law: GrowthLaw | None = None
    exponent: Estimate | None = None
    constant: Estimate | None = None
    agreement: Truth = Truth.UNDECIDED


@dataclass(frozen=True, eq=False)
class Verdict:
    """Theory's prediction, the simulation, and whether they agree.

    `simulated` is the scenario that the run shows by itself; `agreement` holds only if scenarios agree and
    every law theory predicts was confirmed within a narrow interval. `system` is what theory was asked about
    (D = 1 only).
    """

    prediction: Prediction
    simulated: Scenario
    trajectory: TokenTrajectory
    tokens: tuple[TokenVerdict, ...]
    agreement: Truth
    system: ScalarSystem | None = None

    @cached_property
    def asymptotics(self) -> "Asymptotics | None":
        """Every token's law as a sympy expression, told l* and the frozen ratios by the run; None for D > 1."""
        from .theorems.asymptotics import asymptotics
        from .theorems.contract import Told

        if self.system is None:
            return None
        run, active = self.trajectory, np.flatnonzero(self.system.active)
        ratios = None
        if self.simulated is Scenario.SLOW_DIVERGENCE and active.size:
            ratios = np.exp(run.log_norms[-1] - run.log_norms[-1, active[0]])
        return asymptotics(self.system, Told(Regime(self.system, run).first_token, ratios))

    @cached_property
    def certificate(self) -> "Enclosure | None":
        """The scenario proved and T* bracketed by validated integration (seconds); None for D > 1.

        Where that is out of reach (more than 8 tokens, or sizes too far apart), the scenario alone.
        """
        from flint import arb

        from .certificates import Enclosure, enclose, proved_scenario

        if self.system is None:
            return None
        one = self.system
        numbers = one.exact_numbers
        try:
            return enclose(*numbers)
        except HypothesisError as error:
            scenario, proof = proved_scenario(*numbers)
            return Enclosure(scenario, f"{proof} (not enclosed: {error})", arb(0), (), None, 0)

    @property
    def contradicted(self) -> bool:
        """Whether the certificate proves another scenario or another T* than the simulation found."""
        proved, found = self.certificate, self.trajectory.blow_up
        if proved is None or proved.scenario is None or self.simulated is Scenario.UNDECIDED:
            return False
        if proved.blow_up_time is not None and found is not None:
            # A simulation that does not know its own error cannot be contradicted.
            return math.isfinite(found.error) and bool(abs(proved.blow_up_time - found.time) > found.error)
        return proved.scenario is not self.simulated

    @cached_property
    def predicted_log_abs(self) -> FloatArray | None:
        """ln|x_l| by each token's law at the run's samples, (S, L), nan where no law speaks; None for D > 1.

        What a law leaves open (a factor, a frozen ratio) is taken from the end of the run.
        """
        if self.system is None:
            return None
        run, laws = self.trajectory, [token.law for token in self.tokens]
        return predicted_log_abs(self.system, laws, run.log_t, run.log_remaining, run.log_norms[-1])

    def plot(self, *, ax: "Axes | None" = None) -> "Axes":
        """The trajectory with the law of every token dashed over it; see `plot_trajectory`."""
        from .plotting import plot_trajectory

        return plot_trajectory(self.trajectory, predicted=self.predicted_log_abs, ax=ax)


def classify(
    layer: S6Layer,
    x0,
    *,
    group: int | None = None,
    until: float | None = None,
    log_until: float | None = None,
    rtol: float = 1e-12,
    atol: float = 1e-12,
    max_steps: int = 4096,
    horizon: Horizon | None = None,
) -> Verdict:
    """Predict, integrate and compare: what the tokens x0 do under one S6 layer.

    Args:
        layer: the layer; `group` chooses one of its heads or scan directions where it has several.
        x0: initial tokens, (L,) or (L, 1) for D = 1, (L, D) above.
        until, log_until, rtol, atol, max_steps, horizon: as in `solve`. A run cut short by an end time
            cannot refute an asymptotic law: its verdict is `holds` or `undecided`. Without a horizon, a convergent run
            that leaves a law undecided is integrated once more, for as long as theory says that its tokens need.

    Raises:
        LayerShapeError, HypothesisError: the tokens do not fit, or the layer has no closed S6-only ODE.
    """
    x0 = np.asarray(x0, float)
    system = ScalarSystem.of(layer, x0) if layer.channels == 1 and not layer.norms.any else None
    if system is not None:
        x0 = system.x0

    def integrate(horizon: Horizon | None) -> TokenTrajectory:
        return solve(
            token_dynamics(layer, group=group),
            x0,
            until=until,
            log_until=log_until,
            rtol=rtol,
            atol=atol,
            max_steps=max_steps,
            horizon=horizon,
            throw=False,
        )

    run = integrate(horizon)
    if system is None:
        return _vector_verdict(layer, x0, run, group or 0)
    verdict = _scalar_verdict(system, run)
    unsettled = any(
        one.law and one.law.exponent is not None and one.agreement is Truth.UNDECIDED for one in verdict.tokens
    )
    if horizon is None and unsettled and run.outcome is Outcome.CONVERGED_TO_ZERO:
        settled = _log_t_settled(system)
        if settled > run.log_t[-1] and (longer := integrate(Horizon(log_t_decaying=settled))).outcome is run.outcome:
            return _scalar_verdict(system, longer)
    return verdict


def _vector_verdict(layer: S6Layer, x0: FloatArray, run: TokenTrajectory, group: int) -> Verdict:
    simulated = simulated_scenario(run)
    if simulated is Scenario.EQUILIBRIUM and not _may_rest(layer, x0, run, group):
        simulated = Scenario.UNDECIDED
    return _verdict(theorems.predict_from_definiteness(layer, x0, group), simulated, run)


def _scalar_verdict(system: ScalarSystem, run: TokenTrajectory) -> Verdict:
    prediction = theorems.predict_scenario(system)
    if system.cancels:
        return _verdict(prediction, Scenario.UNDECIDED, run, system=system)
    regime = Regime(system, run)
    # A run with |s x| small to its end grows as if s were zero; only s x > 0 makes sure that it goes on to blow up.
    found = run.blow_up
    tells = regime.tells_slow_from_fast or (found is not None and bool(system.drive[found.token] > 0))
    simulated = simulated_scenario(run) if tells else Scenario.UNDECIDED
    return _verdict(prediction, simulated, run, _judge_laws(regime, prediction), system)


def _log_t_settled(system: ScalarSystem) -> float:
    """The ln t by which a convergent run's later tokens follow their laws: they come to them like t^-(1 - phi)."""
    pace = 1.0 - float(theorems.convergent.decay_kernel(system, np.array(system.delta_0)))
    return _LATEST if pace <= _SETTLINGS / _LATEST else _SETTLINGS / pace


def _verdict(
    prediction: Prediction,
    simulated: Scenario,
    run: TokenTrajectory,
    tokens: tuple[TokenVerdict, ...] | None = None,
    system: ScalarSystem | None = None,
) -> Verdict:
    """The verdict on a run; without laws of its tokens, on its scenario alone."""
    if tokens is None:
        tokens = tuple(TokenVerdict(index, fate) for index, fate in enumerate(token_fates(run)))
    agreement = _agreement(prediction, simulated, run, tokens)
    if agreement is Truth.FAILS and system is not None and not Regime(system, run).tells_slow_from_fast:
        agreement = Truth.UNDECIDED
    return Verdict(prediction, simulated, run, tokens, agreement, system)


def _may_rest(layer: S6Layer, x0: FloatArray, run: TokenTrajectory, group: int) -> bool:
    """Whether the first token that is not zero can be at rest: unless it came to where it is, x^T M x is 0 exactly.

    Beside the null cone a token creeps, for a time of 1 / |x^T M x| at least, in which nothing moves beyond rounding.
    """
    first = int(np.argmax(x0.any(axis=1)))
    came = abs(run.log_norms[-1, first] - run.log_norms[0, first]) > _CREEPS
    return layer.norms.any or came or certificates.form_sign(layer.B_map(group), layer.C_map(group), x0[first]) == 0


def simulated_scenario(trajectory: TokenTrajectory) -> Scenario:
    """The scenario a run shows by itself."""
    nothing_moved = len(trajectory) == 1 and trajectory.outcome in (
        Outcome.CONVERGED_TO_ZERO,
        Outcome.CONVERGED_TO_EQUILIBRIUM,
    )
    if nothing_moved:
        return Scenario.CONSTANT
    return _SCENARIO_OF.get(trajectory.outcome, Scenario.UNDECIDED)


def _judge_laws(regime: Regime, prediction: Prediction) -> tuple[TokenVerdict, ...]:
    laws = theorems.predict_laws(regime.system, prediction.scenario, regime.first_token)
    fates = token_fates(regime.run)
    return tuple(_judge_law(regime, index, fate, laws[index]) for index, fate in enumerate(fates))


def _judge_law(regime: Regime, index: int, fate: TokenFate, law: GrowthLaw | None) -> TokenVerdict:
    system, run = regime.system, regime.run
    if law is None:
        return TokenVerdict(index, fate)
    if law.name in (LawName.ZERO, LawName.CONSTANT):
        # By the logarithms: exp(ln|x|) is x to rounding only.
        log_x, signs = run.log_abs[:, index], run.sign[:, index]
        still = np.all(log_x == log_x[0]) and np.all(signs == np.sign(system.x0[index]))
        return TokenVerdict(index, fate, law, agreement=Truth.HOLDS if still else Truth.FAILS)
    with np.errstate(over="ignore", invalid="ignore"):
        exponent, constant = _measure(system, run, index, law)
    found = [agrees(exponent, law.exponent)]
    if law.constant is not None:
        found.append(agrees(constant, law.constant))
    agreement = _all_of(found)
    settled = run.outcome is not Outcome.REACHED_UNTIL and _is_asymptotic(regime, index, law)
    if agreement is Truth.FAILS and not settled:
        agreement = Truth.UNDECIDED
    return TokenVerdict(index, fate, law, exponent, constant, agreement)


def _measure(system: ScalarSystem, run: TokenTrajectory, index: int, law: GrowthLaw):
    """(slope, constant) of a token in the variables its law names; see `GrowthLaw`."""
    log_x, log_t = run.log_abs[:, index], run.log_t
    if law.name is LawName.POWER_OF_TIME:
        log_kappa = np.log(2 * abs(system.mu_bar)) + system.log_delta_0 + log_t + 2 * log_x
        return limiting_slope(log_x, log_t, log_t), limiting_factor(log_kappa, log_t)
    if law.name is LawName.LOGARITHM_OF_TIME:
        late = log_t > 1
        log_z, scale = log_x[late] + np.log(abs(system.s)), theorems.slow_divergence.expansion(system, log_t[late])
        clock = np.log(log_t[late] + 3 * np.log(log_t[late]))
        log_share = log_z - np.log(np.maximum(scale, np.finfo(float).tiny))
        return limiting_slope(log_z, clock, log_t[late]), limiting_factor(log_share, log_t[late])
    if run.log_remaining is None:
        return None, None
    depth = -run.log_remaining
    if law.name is LawName.BOUNDED:
        return limiting_slope(log_x, depth, depth), None
    if law.name is LawName.POWER_OF_REMAINING_TIME:
        log_normalised = theorems.fast_divergence.log_normalised(system, log_x, run.log_remaining)
        return limiting_slope(log_x, -depth, depth), limiting_factor(log_normalised, depth)
    slow = theorems.fast_divergence.slow_variable(system, index, log_x)
    return limiting_slope(slow, run.log_abs[:, law.partner], depth), None


def _is_asymptotic(regime: Regime, index: int, law: GrowthLaw) -> bool:
    """Whether the run has come to where a token's law speaks."""
    if law.name in (LawName.FOLLOWS, LawName.ITERATED_LOGARITHM):
        return regime.still_moves(index)
    return regime.reached(index)


def _all_of(found: list[Truth]) -> Truth:
    if Truth.FAILS in found:
        return Truth.FAILS
    return Truth.HOLDS if found and all(one is Truth.HOLDS for one in found) else Truth.UNDECIDED


def _agreement(prediction, simulated, trajectory, tokens) -> Truth:
    laws = _all_of([token.agreement for token in tokens if token.law is not None])
    if prediction.scenario is Scenario.UNDECIDED:
        return Truth.UNDECIDED
    if trajectory.outcome is Outcome.REACHED_UNTIL:
        return laws
    if simulated is Scenario.UNDECIDED:
        return Truth.UNDECIDED
    same = simulated is prediction.scenario or (prediction.scenario is Scenario.DIVERGENT and simulated in _DIVERGING)
    if not same:
        return Truth.FAILS
    return laws if any(token.law is not None for token in tokens) else Truth.HOLDS
