"""What the tokens of a trained weight-tied stack do, pass by pass, beside what the theory says of its layer.

The stack is run as it was trained, and then on: the same layer again and again, far beyond the depth that it was
trained at. A stack of S6 layers alone, u -> u + h S6(u), is the Euler scheme of the S6-only ODE with steps of h; there
the first token of each text, which hears no other, is also integrated, over the same depth.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._layer import S6Layer
from .._solve import solve
from .._trajectory import TokenTrajectory
from .._weights_verdict import weights_verdict
from ..dynamics import token_dynamics
from ..models.block import Block
from ..models.primitives import Scaling
from ..refinements.surgery import plain_selection
from .batches import AbstractTask, PatchBatch
from .models import Iterated

#: Held-out sequences that are followed, and for how many passes: 2^0, 2^1, ..., 2^OCTAVES.
SEQUENCES, OCTAVES = 4, 12
#: The last octaves, over which exponents are measured.
FITTED = 3
#: ln t at which the ODE's own asymptotic exponent is read.
LATE = 60.0
#: Of the ODE; weights trained in float32 ask for no more.
RTOL = 1e-9
#: A token has blown up when it is this many times as long as the longest was at first.
BLOWN_UP = 1e6


def measured_dynamics(model: Iterated, task: AbstractTask) -> dict[str, Any]:
    """The tokens of a weight-tied stack along its depth, on the first held-out sequences of a task.

    Returns:
        trained_depth: passes as trained. shrinking: the share of tokens that they leave shorter.
        tokens: passes 0, 1, 2, 4, ...; size, the root mean square of the tokens' lengths there, until one has blown up;
        blew_up_at, the pass at which it had (null: none); exponent, d ln|x| / d ln(passes) over the last octaves,
        quantiles (5, 50, 95 %) over tokens (null where some blew up).
        scenario: spectral and certified, of the layer's weights.
        first_tokens: for the first token of each sequence alone, the stack's length ratio after the trained depth, its
        exponent and where it blew up, and, for a stack of S6 layers alone, the same of the ODE: `ode_ratio`,
        `ode_exponent`, `ode_outcome`, and `ode_blew_up_at`, T* / h; `ode_late_exponent`, d ln|x| / d ln t at ln t =
        LATE, is where no stack comes.
    """
    batch = next(iter(task.held_out()))
    assert not isinstance(batch, PatchBatch)
    first = model.core.embedding[jnp.asarray(batch.tokens[:SEQUENCES])]
    lengths, blew_up_at = _followed(model, first)
    (block,) = model.core.blocks
    trained = _lengths(_passed(model, first, model.repeats))
    verdict = weights_verdict(_layer(block))
    return {
        "trained_depth": model.repeats,
        "shrinking": float(np.mean(trained < lengths[0])),
        "tokens": {
            "passes": [0, *(2**octave for octave in range(len(lengths) - 1))],
            "size": [float(np.sqrt(np.mean(one**2))) for one in lengths],
            "blew_up_at": blew_up_at,
            "exponent": None if blew_up_at else np.quantile(_exponents(lengths), [0.05, 0.5, 0.95]).tolist(),
        },
        "scenario": {"spectral": verdict.spectral.value, "certified": verdict.certified.value},
        "first_tokens": [_first_token(model, block, states) for states in first[:, None, :1]],
    }


def _first_token(model: Iterated, block: Block, states: Float[Array, "1 1 d"]) -> dict[str, Any]:
    lengths, blew_up_at = _followed(model, states)
    trained = _lengths(_passed(model, states, model.repeats))
    found = {
        "ratio": float(trained[0, 0] / lengths[0][0, 0]),
        "exponent": None if blew_up_at else float(_exponents(lengths)[0, 0]),
        "blew_up_at": blew_up_at,
    }
    step = block.mixer.out_proj
    if block.norm is None and isinstance(step, Scaling):
        found |= _by_ode(_layer(block), np.asarray(states[0], np.float64), model.repeats, step.factor)
    return found


def _by_ode(layer: S6Layer, x0: np.ndarray, depth: int, step: float) -> dict[str, Any]:
    dynamics, end = token_dynamics(layer), 2**OCTAVES * step
    run = solve(dynamics, x0, until=end, rtol=RTOL, atol=RTOL, throw=False)
    trained = solve(dynamics, x0, until=depth * step, rtol=RTOL, atol=RTOL, throw=False)
    late = solve(dynamics, x0, log_until=LATE, rtol=RTOL, atol=RTOL, throw=False)
    return {
        "ode_outcome": run.outcome.value,
        "ode_ratio": float(np.exp(trained.log_norms[-1, 0] - trained.log_norms[0, 0])),
        "ode_exponent": _slope(run, np.log(end), FITTED * np.log(2)),
        "ode_late_exponent": _slope(late, LATE, 0.1 * LATE),
        "ode_blew_up_at": float(run.t[-1] / step) if run.blow_up is not None else None,
    }


def _slope(run: TokenTrajectory, end: float, width: float) -> float | None:
    """d ln|x| / d ln t over the last `width` of a run that reached ln t = `end`; None for one that did not."""
    if run.log_t[-1] < end - 1e-6:
        return None
    back = np.interp(run.log_t[-1] - width, run.log_t[1:], run.log_norms[1:, 0])
    return float((run.log_norms[-1, 0] - back) / width)


def _layer(block: Block) -> S6Layer:
    selection = plain_selection(block.mixer.selection)
    names = ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a")
    weights: dict[str, Any] = {name: np.asarray(getattr(selection, name), np.float64)[None] for name in names}
    return S6Layer(**weights)


def _exponents(lengths: list[np.ndarray]) -> np.ndarray:
    return np.log(lengths[-1] / lengths[-1 - FITTED]) / (FITTED * np.log(2))


def _followed(model: Iterated, states: Float[Array, "B L d"]) -> tuple[list[np.ndarray], int | None]:
    """(the tokens' lengths (B, L) before and after 2^0, 2^1, ... passes, the pass at which one had blown up)."""
    found, done = [_lengths(states)], 0
    limit = BLOWN_UP * float(np.max(found[0]))
    for octave in range(OCTAVES + 1):
        before, states = states, _passed(model, states, 2**octave - done)
        lengths = _lengths(states)
        if not np.all(lengths < limit):
            return found, done + _first_beyond(model, before, 2**octave - done, limit)
        done = 2**octave
        found.append(lengths)
    return found, None


def _first_beyond(model: Iterated, states: Float[Array, "B L d"], passes: int, limit: float) -> int:
    """After how many more passes a token is beyond the limit, which it is after `passes`."""
    within, beyond = 0, passes
    while beyond - within > 1:
        middle = (within + beyond) // 2
        if np.all(_lengths(_passed(model, states, middle)) < limit):
            within = middle
        else:
            beyond = middle
    return beyond


def _passed(model: Iterated, states: Float[Array, "B L d"], passes: int) -> Float[Array, "B L d"]:
    # As an array, which is traced: one compilation serves all numbers.
    return _passed_on(model, states, jnp.asarray(passes))


@eqx.filter_jit
def _passed_on(model: Iterated, states: Float[Array, "B L d"], passes: Array) -> Float[Array, "B L d"]:
    return jax.lax.fori_loop(0, passes, lambda _, u: jax.vmap(model.core.continued)(u), states)


def _lengths(states: Float[Array, "B L d"]) -> np.ndarray:
    return np.linalg.norm(np.asarray(states, np.float64), axis=-1)
