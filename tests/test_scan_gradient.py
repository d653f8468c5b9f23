"""The scan's hand-written reverse pass: against finite differences, plain autodiff, and what it keeps in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics._selective_scan import selective_scan, trainable_scan
from mamba_dynamics._selective_scan.trainable import KEPT_EVERY

NAMES = ("x", "delta", "a", "B", "C")
#: Shorter than a chunk, whole chunks, whole chunks and a rest.
LENGTHS = (1, KEPT_EVERY - 1, 2 * KEPT_EVERY, 2 * KEPT_EVERY + 5)


def inputs(length, channels=3, states=4, seed=0):
    rng = np.random.default_rng(seed)
    shapes = ((length, channels), (length, channels), (channels, states), (length, states), (length, states))
    x, delta, a, B, C = (jnp.asarray(rng.standard_normal(shape)) for shape in shapes)
    return x, jax.nn.softplus(delta), jnp.exp(a), B, C


def weighed(scan, length, channels=3):
    weights = np.random.default_rng(1).standard_normal((length, channels))
    return lambda *args: jnp.sum(scan(*args) * weights)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("length", LENGTHS)
def test_it_is_the_scan(length):
    args = inputs(length)
    np.testing.assert_allclose(trainable_scan(*args), selective_scan(*args), rtol=1e-13, atol=1e-13)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_gradients_are_finite_differences(length, which):
    args, loss = inputs(length), weighed(trainable_scan, length)
    found = np.asarray(jax.grad(loss, argnums=which)(*args))
    direction = np.random.default_rng(2).standard_normal(args[which].shape)
    # Central differences err by step^2 |f'''| / 6 and by rounding over the step.
    step = 1e-5
    ahead, behind = (
        loss(*(one + sign * step * direction if i == which else one for i, one in enumerate(args))) for sign in (1, -1)
    )
    np.testing.assert_allclose(np.sum(found * direction), (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-6)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("length", LENGTHS)
def test_gradients_are_those_of_plain_autodiff(length):
    args = inputs(length)
    ours, plain = (
        jax.grad(weighed(scan, length), argnums=tuple(range(5)))(*args) for scan in (trainable_scan, selective_scan)
    )
    for name, one, other in zip(NAMES, ours, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-12, err_msg=name)


@pytest.mark.usefixtures("x64")
def test_a_batch_is_its_members():
    args = [inputs(20, seed=seed) for seed in range(3)]
    batched = [jnp.stack(parts) for parts in zip(*args, strict=True)]
    gradient = jax.grad(weighed(trainable_scan, 20), argnums=(0, 1, 3))
    together = jax.vmap(gradient)(*batched)
    for i, one in enumerate(args):
        for all_of, alone in zip(together, gradient(*one), strict=True):
            np.testing.assert_allclose(all_of[i], alone, rtol=1e-12, atol=1e-13)


def test_nothing_of_size_tokens_by_channels_by_states_is_kept():
    length, channels, states = 512, 64, 16
    args = [jax.ShapeDtypeStruct(one.shape, np.float32) for one in inputs(length, channels, states)]
    compiled = jax.jit(jax.grad(lambda *a: jnp.sum(trainable_scan(*a)), argnums=(0, 1, 2, 3, 4))).lower(*args).compile()
    everything = 4 * length * channels * states
    assert compiled.memory_analysis().temp_size_in_bytes < everything / 2
