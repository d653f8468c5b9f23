"""The S6 scan forward and backward, for training: float32, 1536 channels, 16 states."""

import numpy as np

from .base import OURS, Row
from .scan import CHANNELS, STATES, arrays, on_its_device


def _weights(tokens: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal((tokens, CHANNELS)).astype("float32")


def _of(scan):
    """value_and_grad of a JAX scan in all its inputs."""
    import jax
    import jax.numpy as jnp

    def prepare(tokens: int):
        given = [jax.device_put(one) for one in arrays(tokens, "float32")]
        weights = jax.device_put(_weights(tokens))
        loss = jax.jit(jax.value_and_grad(lambda *a: jnp.sum(scan(*a) * weights), argnums=(0, 1, 2, 3, 4)))
        return lambda: loss(*given)[1]

    return prepare


def _ours(tokens: int):
    from mamba_dynamics._selective_scan import trainable_scan

    return _of(trainable_scan)(tokens)


def _autodiff(tokens: int):
    from mamba_dynamics._selective_scan import selective_scan

    return _of(selective_scan)(tokens)


def _associative(tokens: int):
    import jax
    import jax.numpy as jnp

    def after(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    def scan(x, delta, a, B, C):
        decays = jnp.exp(-delta[:, :, None] * a)
        states = jax.lax.associative_scan(after, (decays, (delta * x)[:, :, None] * B[:, None, :]))[1]
        return jnp.einsum("ldn,ln->ld", states, C)

    return _of(scan)(tokens)


def _mambapy(tokens: int):
    import torch
    from mambapy.pscan import pscan

    given = [on_its_device(one).requires_grad_() for one in arrays(tokens, "float32")]
    weights = on_its_device(_weights(tokens))

    def run():
        x, delta, a, B, C = given
        decays = torch.exp(-delta[..., None] * a)
        states = pscan(decays[None], ((delta * x)[..., None] * B[:, None])[None])[0]
        loss = (torch.einsum("ldn,ln->ld", states, C) * weights).sum()
        return torch.autograd.grad(loss, given)

    return run


GRADIENT = Row(
    name="gradient",
    title="S6 scan and its gradient, float32",
    sides={
        OURS: _ours,
        "autodiff of lax.scan": _autodiff,
        "mambapy pscan": _mambapy,
        "associative_scan": _associative,
    },
    sizes=(256, 512, 1024),
    label=lambda tokens: f"{tokens} x {CHANNELS} x {STATES}",
    scale=float,
    # Once forward, and once again where the reverse pass recomputes them.
    work=lambda tokens: {"exp float32": 2.0 * tokens * CHANNELS * STATES},
    tolerance=1e-3,
)
