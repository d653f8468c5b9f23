"""What a block's parts that the paper's limit drops are worth: norm, convolution, gate, D skip, left out one by one.

Every layer is looked at on the residual stream of the whole model, so that a change is that layer's own. Gate and skip
lie behind the scan: without them its inputs x at a given residual are the same, and so is the S6-only ODE.
"""

from collections.abc import Callable
from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ._layer import S6Layer
from ._outcomes import Outcome, Scenario
from ._smooth_flow import SmoothFlow
from ._token_budget import TOKEN_RTOL
from ._tokens_verdict import tokens_verdict
from .checkpoints.language_model import LanguageModelWeights
from .models.block import ABLATIONS, Block, radial_rates
from .models.loading import load_norm

#: What is left out: each part alone, then all of them.
LEFT_OUT: tuple[tuple[str, ...], ...] = (*((part,) for part in ABLATIONS), ABLATIONS)
#: The parts in front of the scan. Only they change its inputs at a given residual.
BEFORE_THE_SCAN = ("norm", "conv")
#: Rows of the head that are turned into logits at once.
_HEAD_ROWS = 4096


@dataclass(frozen=True)
class ScenarioRun:
    """The S6-only ODE from a layer's scan inputs: scenario, how the run ended, ln of when (T* if it blew up)."""

    scenario: Scenario
    outcome: Outcome
    log_time: float


@dataclass(frozen=True)
class AblatedLayer:
    """One layer without some parts, at the residual stream of the whole model.

    `run` integrates its S6-only ODE from the scan inputs that are left, `whole_run` from those of the whole layer
    (None: not asked for, or not closed). `sign_changes`: share of the tokens whose radial rate <u, Block(u)> / |u|^2
    changes sign. `growing`, `growing_whole`: share of the tokens that the block lengthens, without the parts and with
    them.
    """

    index: int
    run: ScenarioRun | None
    whole_run: ScenarioRun | None
    sign_changes: float
    growing: float
    growing_whole: float

    @property
    def scenario_changes(self) -> bool | None:
        """None where one of the two is not known."""
        if self.run is None or self.whole_run is None:
            return None
        pair = (self.run.scenario, self.whole_run.scenario)
        return None if Scenario.UNDECIDED in pair else pair[0] is not pair[1]

    @property
    def majority_changes(self) -> bool:
        """Whether more than half of the tokens grow with the parts and less than half without them, or vice versa."""
        return (self.growing - 0.5) * (self.growing_whole - 0.5) < 0


@dataclass(frozen=True, eq=False)
class Ablation:
    """What leaving out `parts` changes: layer by layer, the flow in depth, and the model's predictions.

    `divergence_bits`: Kullback-Leibler divergence from the whole model's next-token distribution to that without the
    parts, mean over the tokens, in bits; inf where that model overflows.
    """

    parts: tuple[str, ...]
    layers: tuple[AblatedLayer, ...]
    stream: SmoothFlow
    divergence_bits: float

    @property
    def name(self) -> str:
        return "all" if self.parts == ABLATIONS else "+".join(self.parts)


@eqx.filter_jit
def inputs_and_update(block: Block, residual: Float[Array, "L d"]) -> tuple[Float[Array, "L E"], Float[Array, "L d"]]:
    """(the scan's inputs x, the block's update)."""
    stages = block.stages(residual)
    return stages.x, stages.out


class LayerAblations:
    """One layer under each of LEFT_OUT at one residual (L, d).

    Where `max_steps` is given, its ODEs are integrated from the first `integrate` tokens.
    """

    def __init__(
        self,
        layer: S6Layer,
        block: Block,
        residual: Float[Array, "L d"],
        *,
        max_steps: int | None,
        integrate: int | None = None,
        tell: Callable[[str], None] = lambda name: None,
    ):
        self.layer, self.block, self.residual, self.tell = layer, block, residual, tell
        self.max_steps, self.integrate = max_steps, integrate
        self.runs: dict[tuple[str, ...], ScenarioRun] = {}

    def rows(self) -> tuple[AblatedLayer, ...]:
        whole, whole_run = self._radial_rates(()), self._run(())
        return tuple(self._row(parts, whole, whole_run) for parts in LEFT_OUT)

    def _row(self, parts, whole, whole_run) -> AblatedLayer:
        rates = self._radial_rates(parts)
        return AblatedLayer(
            self.layer.index,
            self._run(parts),
            whole_run,
            sign_changes=float(np.mean(np.sign(rates) * np.sign(whole) < 0)),
            growing=float(np.mean(rates > 0)),
            growing_whole=float(np.mean(whole > 0)),
        )

    def _radial_rates(self, parts: tuple[str, ...]):
        update = inputs_and_update(self.block.left_out(*parts), self.residual)[1]
        return np.asarray(radial_rates(self.residual, update))

    def _run(self, parts: tuple[str, ...]) -> ScenarioRun | None:
        if self.max_steps is None:
            return None
        key = tuple(part for part in parts if part in BEFORE_THE_SCAN)
        if key not in self.runs:
            self.tell(f"layer {self.layer.index}: scenario" + (f" without {', '.join(key)}" if key else ""))
            x = np.asarray(inputs_and_update(self.block.left_out(*key), self.residual)[0])
            self.runs[key] = scenario_run(self.layer, x[: self.integrate], self.max_steps)
        return self.runs[key]


def scenario_run(layer: S6Layer, x: np.ndarray, max_steps: int) -> ScenarioRun:
    """The S6-only ODE of a one-group layer from tokens x (L, D), integrated until it is decided."""
    judged = tokens_verdict(layer, x, rtol=TOKEN_RTOL, max_steps=max_steps)
    assert judged.verdicts is not None
    run = judged.verdicts[0].trajectory
    log_time = float(run.blow_up.log_time if run.blow_up else run.log_t[-1])
    return ScenarioRun(judged.scenario, run.outcome, log_time)


def divergences(weights: LanguageModelWeights, residuals: list[Float[Array, "L d"]]) -> list[float]:
    """Mean over the tokens of KL(first, other) of next-token distributions, in bits, for every other residual (L, d).

    inf where a residual is not finite.
    """
    norm = load_norm(weights.final_norm(), "float64")
    states = jnp.stack([norm(one) for one in residuals])
    rows = range(0, weights.head_size, _HEAD_ROWS)
    heads = (weights.head(start, min(start + _HEAD_ROWS, weights.head_size)) for start in rows)
    logits = jnp.concatenate([states @ jnp.asarray(head, states.dtype).T for head in heads], axis=-1)
    logs = jax.nn.log_softmax(logits)
    means = jnp.mean(jnp.sum(jnp.exp(logs[:1]) * (logs[:1] - logs[1:]), axis=-1), axis=-1) / np.log(2.0)
    return [float(one) if np.isfinite(one) else np.inf for one in np.asarray(means)]
