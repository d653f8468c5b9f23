"""The S6 recurrence and its reverse pass as kernels for GPUs: chunks of tokens, side by side, in three passes.

    1. every chunk from a state of zero      its last state, and how much time passes in it (the sum of delta)
    2. from chunk to chunk                   h -> exp(-a elapsed) h + last: the state before every chunk
    3. every chunk once more, from there     y

A program has CHANNELS neighbouring channels, a thread each, with all N states of a channel in registers: C . h is a sum
within a thread, and memory is read and written in order. The exponentials are made twice, but L / CHUNK times as many
programs are at work as token by token, where a GPU idles. O(L D N) work, O(L D (1 + N / CHUNK)) memory.

The reverse pass goes the same way from the last chunk to the first, with g_l = dLoss/dh_l, and in its third pass one
state at a time, whose exponentials and decayed states of a chunk fit into registers.

Kernels are written in Pallas and compiled by Triton; `interpret=True` runs them anywhere, slowly.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton
from jaxtyping import Array, Float

#: Tokens of a chunk, and channels of a program, one warp.
CHUNK, CHANNELS = 32, 32


@partial(jax.jit, static_argnames="interpret")
def scan(
    entering: Float[Array, "L D"],
    delta: Float[Array, "L D"],
    a: Float[Array, "D N"],
    B: Float[Array, "L N"],
    C: Float[Array, "L N"],
    *,
    interpret: bool = False,
) -> tuple[Float[Array, "L D"], Float[Array, "L D"]]:
    """(y_ld = C_l . h_dl, sum_n h_dln^2) with h_dl = exp(-a_d delta_ld) h_d,l-1 + B_l entering_ld."""
    grid = _Grid(entering.shape, a.shape[1], CHUNK, interpret)
    u, d, r, b, c = grid.padded(entering, delta, a, B, C)
    y, squares = grid.run(_from_state, [grid.tokens, grid.tokens], u, d, r, b, c, _before(grid, u, d, r, b))
    return grid.cut(y), grid.cut(squares)


@partial(jax.jit, static_argnames=("every", "interpret"))
def scan_keeping_states(entering, delta, a, B, C, *, every: int, interpret: bool = False):
    """(y, the state before every chunk of `every` tokens, (chunks, N, D))."""
    grid = _Grid(entering.shape, a.shape[1], every, interpret)
    u, d, r, b, c = grid.padded(entering, delta, a, B, C)
    before = _before(grid, u, d, r, b)
    y, _ = grid.run(_from_state, [grid.tokens, grid.tokens], u, d, r, b, c, before)
    return grid.cut(y), before[:, :, : len(a)]


@partial(jax.jit, static_argnames=("every", "interpret"))
def gradients(entering, delta, a, B, C, kept, gy, *, every: int, interpret: bool = False):
    """dLoss / d(entering, delta in the exponential, a, B, C), from gy = dLoss/dy and what the scan has kept."""
    grid = _Grid(entering.shape, a.shape[1], every, interpret)
    u, d, r, b, c = grid.padded(entering, delta, a, B, C)
    (gy,) = grid.over_tokens(gy)
    before = grid.over_channels(kept)
    first, elapsed = grid.run(_back_from_zero, [grid.states, grid.elapsed], d, r, c, gy)
    after = grid.run(partial(_between, True), [grid.states], first, elapsed, r, each_state=True)[0]
    of_reads = (grid.blocks, *b.shape)
    shapes = [grid.tokens, grid.tokens, grid.states, of_reads, of_reads]
    g_u, g_d, g_r, g_b, g_c = grid.run(_gradients, shapes, u, d, r, b, c, before, after, gy)
    g_B, g_C = (jnp.sum(one, axis=0)[: len(B)] for one in (g_b, g_c))
    return grid.cut(g_u), grid.cut(g_d), jnp.sum(g_r, axis=0).T[: len(a)], g_B, g_C


class _Grid:
    """Blocks of channels by chunks of tokens, a program for each, and arrays padded to them."""

    def __init__(self, shape: tuple[int, ...], states: int, chunk: int, interpret: bool):
        self.shape, self.interpret = shape, interpret
        self.chunks, self.blocks = -(-shape[0] // chunk), -(-shape[1] // CHANNELS)
        self.tokens = self.chunks * chunk, self.blocks * CHANNELS
        self.states, self.elapsed = (self.chunks, states, self.tokens[1]), (self.chunks, self.tokens[1])

    def padded(self, u, d, a, b, c):
        """(u, d, rates with the channels last, b, c); padded tokens, of step size 0, leave the state as it is."""
        b, c = (jnp.pad(one, ((0, self.tokens[0] - len(one)), (0, 0))) for one in (b, c))
        return *self.over_tokens(u, d), self.over_channels(a.T), b, c

    def over_tokens(self, *arrays: Array) -> list[Array]:
        margins = [(0, whole - part) for whole, part in zip(self.tokens, self.shape, strict=True)]
        return [jnp.pad(one, margins) for one in arrays]

    def over_channels(self, array: Array) -> Array:
        return jnp.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, self.tokens[1] - self.shape[1])])

    def cut(self, padded: Array) -> Array:
        return padded[: self.shape[0], : self.shape[1]]

    def run(self, kernel: Callable[..., None], shapes: list[Any], *arrays: Array, each_state: bool = False):
        out = [jax.ShapeDtypeStruct(shape, arrays[0].dtype) for shape in shapes]
        grid = (self.blocks, self.states[1] if each_state else self.chunks)
        parameters = triton.CompilerParams(num_warps=1, num_stages=1)
        return pl.pallas_call(kernel, out, grid=grid, compiler_params=parameters, interpret=self.interpret)(*arrays)


def _before(grid: _Grid, u, d, r, b):
    """The state before every chunk."""
    last, elapsed = grid.run(_from_zero, [grid.states, grid.elapsed], u, d, r, b)
    return grid.run(partial(_between, False), [grid.states], last, elapsed, r, each_state=True)[0]


# ------------------------------------------------------------------------------------------------------- the kernels
# References to whole arrays: u, d, gy, y (tokens, channels), r (N, channels), b, c (tokens, N), states and sums over
# chunks (chunks, N, channels). A program is (block of channels, chunk), `_between`'s is (block of channels, state).


def _here():
    return pl.ds(pl.program_id(0) * CHANNELS, CHANNELS)


def _tokens(u, states) -> tuple[Any, int]:
    """(the first token of this program's chunk, how many it has)."""
    size = u.shape[0] // states.shape[0]
    return pl.program_id(1) * size, size


def _rows(array, index, here) -> list:
    """What a program keeps in registers: one vector of its channels for each of the N states."""
    return [array[(*index, n, here)] for n in range(array.shape[-2])]


def _from_zero(u, d, r, b, last, elapsed):
    here, (first, size) = _here(), _tokens(u, last)
    rates = _rows(r, (), here)

    def step(i, carry):
        h, total = carry
        u_l, d_l = u[first + i, here], d[first + i, here]
        decayed = [jnp.exp(-rate * d_l) * one for rate, one in zip(rates, h, strict=True)]
        return [one + b[first + i, n] * u_l for n, one in enumerate(decayed)], total + d_l

    zero = jnp.zeros(CHANNELS, u.dtype)
    h, total = jax.lax.fori_loop(0, size, step, ([zero] * len(rates), zero))
    for n, one in enumerate(h):
        last[pl.program_id(1), n, here] = one
    elapsed[pl.program_id(1), here] = total


def _between(backwards, found, elapsed, r, entering):
    """What enters every chunk, from what each one ends with by itself; `backwards` from the last chunk to the first."""
    here, n, chunks = _here(), pl.program_id(1), found.shape[0]
    rate = r[n, here]

    def step(i, h):
        k = chunks - 1 - i if backwards else i
        entering[k, n, here] = h
        return jnp.exp(-rate * elapsed[k, here]) * h + found[k, n, here]

    jax.lax.fori_loop(0, chunks, step, jnp.zeros(CHANNELS, found.dtype))


def _from_state(u, d, r, b, c, before, y, squares):
    here, (first, size) = _here(), _tokens(u, before)
    rates = _rows(r, (), here)

    def step(i, h):
        token = first + i
        u_l, d_l = u[token, here], d[token, here]
        decayed = [jnp.exp(-rate * d_l) * one for rate, one in zip(rates, h, strict=True)]
        h = [one + b[token, n] * u_l for n, one in enumerate(decayed)]
        y[token, here] = sum(c[token, n] * one for n, one in enumerate(h))
        squares[token, here] = sum(one * one for one in h)
        return h

    jax.lax.fori_loop(0, size, step, _rows(before, (pl.program_id(1),), here))


def _back_from_zero(d, r, c, gy, found, elapsed):
    """e_l g_l at each chunk's first token, as if no loss came from later chunks."""
    here, (first, size) = _here(), _tokens(d, found)
    rates = _rows(r, (), here)

    def step(i, carry):
        g, total = carry
        token = first + size - 1 - i
        d_l, gy_l = d[token, here], gy[token, here]
        g = [
            jnp.exp(-rate * d_l) * (one + c[token, n] * gy_l)
            for n, (rate, one) in enumerate(zip(rates, g, strict=True))
        ]
        return g, total + d_l

    zero = jnp.zeros(CHANNELS, d.dtype)
    g, total = jax.lax.fori_loop(0, size, step, ([zero] * len(rates), zero))
    for n, one in enumerate(g):
        found[pl.program_id(1), n, here] = one
    elapsed[pl.program_id(1), here] = total


def _gradients(u, d, r, b, c, before, after, gy, g_u, g_d, g_r, g_b, g_c):
    here, block, k, (first, size) = _here(), pl.program_id(0), pl.program_id(1), _tokens(u, before)
    tokens = [first + i for i in range(size)]
    us, ds, gys = ([one[token, here] for token in tokens] for one in (u, d, gy))

    def state(n, sums):
        of_u, of_d = list(sums[0]), list(sums[1])
        rate, h, g = r[n, here], before[k, n, here], after[k, n, here]
        decays = [jnp.exp(-rate * d_l) for d_l in ds]
        decayed = []
        for i, token in enumerate(tokens):
            decayed.append(decays[i] * h)
            h = decayed[i] + b[token, n] * us[i]
            g_c[block, token, n] = jnp.sum(h * gys[i])
        of_rate = jnp.zeros_like(rate)
        for i in reversed(range(size)):
            g = g + c[tokens[i], n] * gys[i]
            of_u[i] += b[tokens[i], n] * g
            of_d[i] -= g * decayed[i] * rate
            of_rate -= g * decayed[i] * ds[i]
            g_b[block, tokens[i], n] = jnp.sum(g * us[i])
            g = decays[i] * g
        g_r[k, n, here] = of_rate
        return of_u, of_d

    zeros = [jnp.zeros(CHANNELS, u.dtype)] * size
    of_u, of_d = jax.lax.fori_loop(0, r.shape[0], state, (zeros, zeros))
    for token, one, other in zip(tokens, of_u, of_d, strict=True):
        g_u[token, here], g_d[token, here] = one, other
