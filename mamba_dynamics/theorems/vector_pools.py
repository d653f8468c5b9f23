"""Random systems that satisfy the hypotheses of section 4 (D > 1); sizes are fixed within a pool, as in `pools`."""

import numpy as np

from .._layer import S6Layer
from .base import FloatArray
from .contract import Case, Pool
from .pools import signs, spread

CHANNELS = 3


def matrix_case(M, S_Delta, b, x0, a=1.0) -> Case:
    """One layer with S_B = M and S_C = 1, so N = D, and tokens x0 (L, D)."""
    M = np.asarray(M, float)
    layer = S6Layer.from_matrices(S_B=M, S_C=np.eye(len(M)), S_Delta=np.asarray(S_Delta, float), a=a, dt_bias=b)
    return Case(layer, np.atleast_2d(np.asarray(x0, float)))


def _tokens(rng: np.random.Generator, length: int, channels: int = CHANNELS) -> FloatArray:
    return signs(rng, (length, channels)) * spread(rng, 0.2, 2.0, (length, channels))


def _definite(rng: np.random.Generator) -> FloatArray:
    """A matrix whose symmetric part is positive definite, with a skew part of its size."""
    root, skew = rng.normal(size=(2, CHANNELS, CHANNELS))
    return root @ root.T + 0.3 * np.eye(CHANNELS) + skew - skew.T


def _first_token(rng: np.random.Generator) -> Case:
    """Any weights with N = 2 states, one token."""
    B, C = rng.normal(size=(2, 2, CHANNELS))
    layer = S6Layer.from_matrices(
        S_B=B,
        S_C=C,
        S_Delta=rng.normal(size=(CHANNELS, CHANNELS)),
        a=spread(rng, 0.2, 2.0, (CHANNELS, 2)),
        dt_bias=rng.uniform(-1.5, 1.5, CHANNELS),
    )
    return Case(layer, _tokens(rng, 1))


def _constant_step(rng: np.random.Generator) -> Case:
    """S_Delta = 0 and equal biases, one token; q(x_0) of either sign, the token not nearly on the null cone."""
    zero = np.zeros((CHANNELS, CHANNELS))
    while True:
        M, x0 = rng.normal(size=(CHANNELS, CHANNELS)), _tokens(rng, 1)
        if abs(x0[0] @ M @ x0[0]) > 0.05 * np.linalg.norm(x0) * np.linalg.norm(M @ x0[0]):
            return matrix_case(M, zero, rng.uniform(-1.5, 1.5), x0)


def _negative_definite(rng: np.random.Generator) -> Case:
    """S_Delta = 0, biases and decay rates of each channel their own, three tokens."""
    zero = np.zeros((CHANNELS, CHANNELS))
    a = spread(rng, 0.2, 2.0, (CHANNELS, CHANNELS))
    return matrix_case(-_definite(rng), zero, _biases(rng), _tokens(rng, 3), a)


def _biases(rng: np.random.Generator) -> FloatArray:
    """Biases at least 0.3 apart: the exponents of 4.6 are reached like t^-(ratio of step sizes - 1)."""
    while True:
        b = rng.uniform(-1.5, 1.5, CHANNELS)
        if np.diff(np.sort(b)).min() >= 0.3:
            return b


def _unequal_biases(rng: np.random.Generator) -> Case:
    return matrix_case(-_definite(rng), 0.5 * rng.normal(size=(CHANNELS, CHANNELS)), _biases(rng), _tokens(rng, 1))


def _escape(rng: np.random.Generator) -> Case:
    """M symmetric negative definite; token 2 starts where its own step size is shut. See `negative_definite_escape`."""
    p, c = spread(rng, 0.5, 2.0), spread(rng, 0.5, 2.0)
    d = (p + c) ** 2 / p * rng.uniform(1.05, 1.3)
    slope, b = spread(rng, 0.5, 1.5), rng.uniform(-0.5, 0.5)
    first = spread(rng, 0.5, 1.0)
    x0 = [[first, first], [rng.uniform(25.0, 40.0) / slope, 0.0]]
    M = [[-p, p + c], [p + c, -d]]
    return matrix_case(M, slope * np.array([[-1.0, 1.0], [1.0, -1.0]]), b, x0, spread(rng, 0.2, 2.0))


def _saddle(rng: np.random.Generator) -> Case:
    """q(x) = p x_1^2 - r x_2^2, x_1 shuts its step and x_2 opens its own: tokens with q > 0 stop on the cone."""
    p, r, alpha, beta = spread(rng, 0.3, 2.0, 4)
    x2 = spread(rng, 0.2, 1.0)
    x1 = np.sqrt(r / p) * x2 * spread(rng, 1.1, 2.0)
    return matrix_case(np.diag([p, -r]), np.diag([-alpha, beta]), rng.uniform(-1, 1), [[x1, x2]])


def _orthant(rng: np.random.Generator) -> Case:
    """q of one sign on the token's orthant, though sym(M) is indefinite: diagonally small, large off it."""
    sigma = signs(rng, CHANNELS)
    symmetric = spread(rng, 0.3, 1.5, (CHANNELS, CHANNELS))
    symmetric = symmetric + symmetric.T
    skew = rng.normal(size=(CHANNELS, CHANNELS))
    M = float(signs(rng)) * (sigma[:, None] * symmetric * sigma + skew - skew.T)
    S_Delta = 0.5 * rng.normal(size=(CHANNELS, CHANNELS))
    return matrix_case(M, S_Delta, rng.uniform(-1, 1, CHANNELS), sigma * spread(rng, 0.2, 2.0, CHANNELS))


def _self_similar(rng: np.random.Generator) -> Case:
    """sym(M) positive definite and every channel opens its own step size: one of them runs away with the token."""
    x0 = _tokens(rng, 1)
    S_Delta = np.diag(np.sign(x0[0]) * spread(rng, 0.3, 2.0, CHANNELS))
    return matrix_case(_definite(rng), S_Delta, rng.uniform(-1, 1, CHANNELS), x0)


def _wide(rng: np.random.Generator) -> Case:
    """D >= 2 N, as in every real layer."""
    states = int(rng.integers(1, 5))
    channels = int(rng.integers(2 * states, 2 * states + 6))
    return _weights(rng, states, channels)


def _any_weights(rng: np.random.Generator) -> Case:
    return _weights(rng, int(rng.integers(1, 5)), int(rng.integers(2, 13)))


def _weights(rng: np.random.Generator, states: int, channels: int) -> Case:
    B, C = rng.normal(size=(2, states, channels))
    layer = S6Layer.from_matrices(S_B=B, S_C=C, S_Delta=np.zeros((channels, channels)), a=1.0)
    return Case(layer, rng.normal(size=(1, channels)))


FIRST_TOKEN = Pool("first_token", _first_token)
CONSTANT_STEP_VECTORS = Pool("constant_step_vectors", _constant_step)
NEGATIVE_DEFINITE = Pool("negative_definite", _negative_definite)
UNEQUAL_BIASES = Pool("unequal_biases", _unequal_biases)
ESCAPE = Pool("negative_definite_escape", _escape)
SADDLE = Pool("saddle", _saddle)
ORTHANT = Pool("orthant", _orthant)
SELF_SIMILAR = Pool("self_similar", _self_similar)
WIDE = Pool("wide_layers", _wide)
ANY_WEIGHTS = Pool("any_weights", _any_weights)
