"""Rodas5P: one step of a stiffly accurate Rosenbrock method, linear solves left to the caller.

A Rosenbrock method treats the Jacobian J of an autonomous y' = f(y) implicitly and the rest explicitly, so a step
costs linear solves with one matrix and no iteration. In the transformed form that spares products with J
(Hairer & Wanner, section IV.7), with stage values u_i and step h,

    (1 / (gamma h) - J) u_i = f(y + sum_{j<i} a_ij u_j) + sum_{j<i} c_ij u_j / h,      y_1 = y + sum_i b_i u_i.

Eight stages, order 5, an embedded result of order 4 (the last stage value is the difference), L-stable, and a
continuous extension of order 4:

    y(theta) = (1 - theta) y_0 + theta (y_1 + (1 - theta) (k_1 + theta (k_2 + theta k_3))),  k_i = sum_j h_ij u_j.

    @article{steinebach2023construction,
      title={Construction of {Rosenbrock--Wanner} method {Rodas5P} and numerical benchmarks within the {Julia}
             {Differential Equations} package},
      author={Steinebach, Gerd}, journal={BIT Numerical Mathematics}, volume={63}, number={27}, year={2023},
      doi={10.1007/s10543-023-00967-x}}
    @book{hairer1996solving,
      title={Solving Ordinary Differential Equations {II}: Stiff and Differential-Algebraic Problems},
      author={Hairer, Ernst and Wanner, Gerhard}, edition={2}, publisher={Springer}, year={1996}}
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

#: Order of the result and of the embedded one that the error estimate compares it with.
ORDER, EMBEDDED_ORDER = 5, 4
STAGES = 8
GAMMA = 0.21193756319429014


def _lower(rows: list[list[float]]) -> np.ndarray:
    """The strictly lower triangular (STAGES, STAGES) matrix with these rows."""
    return np.array([row + (STAGES - len(row)) * [0.0] for row in rows])


_SIXTH = [-7.502846399306121, 2.561846144803919, -11.627539656261098, -0.18268767659942256, 0.030198172008377946]
#: a_ij. The last two stages and the result add the stage value before to the same point: stiffly accurate.
A = _lower(
    [
        [],
        [3.0],
        [2.849394379747939, 0.45842242204463923],
        [-6.954028509809101, 2.489845061869568, -10.358996098473584],
        [2.8029986275628964, 0.5072464736228206, -0.3988312541770524, -0.04721187230404641],
        _SIXTH,
        [*_SIXTH, 1.0],
        [*_SIXTH, 1.0, 1.0],
    ]
)
#: c_ij.
C = _lower(
    [
        [],
        [-14.155112264123755],
        [-17.97296035885952, -2.859693295451294],
        [147.12150275711716, -1.41221402718213, 71.68940251302358],
        [165.43517024871676, -0.4592823456491126, 42.90938336958603, -5.961986721573306],
        [24.854864614690072, -3.0009227002832186, 47.4931110020768, 5.5814197821558125, -0.6610691825249471],
        [
            30.91273214028599,
            -3.1208243349937974,
            77.79954646070892,
            34.28646028294783,
            -19.097331116725623,
            -28.087943162872662,
        ],
        [
            37.80277123390563,
            -3.2571969029072276,
            112.26918849496327,
            66.9347231244047,
            -40.06618937091002,
            -54.66780262877968,
            -9.48861652309627,
        ],
    ]
)
#: b_i.
B = np.array([*_SIXTH, 1.0, 1.0, 1.0])
#: h_ij of the continuous extension.
H = np.array(
    [
        [
            25.948786856663858,
            -2.5579724845846235,
            10.433815404888879,
            -2.3679251022685204,
            0.524948541321073,
            1.1241088310450404,
            0.4272876194431874,
            -0.17202221070155493,
        ],
        [
            -9.91568850695171,
            -0.9689944594115154,
            3.0438037242978453,
            -24.495224566215796,
            20.176138334709044,
            15.98066361424651,
            -6.789040303419874,
            -6.710236069923372,
        ],
        [
            11.419903575922262,
            2.8879645146136994,
            72.92137995996029,
            80.12511834622643,
            -52.072871366152654,
            -59.78993625266729,
            -0.15582684282751913,
            4.883087185713722,
        ],
    ]
)

Vector = Float[Array, "..."]


class Step(NamedTuple):
    """One step: the result, the estimate of its error, and the k_i of the continuous extension (3, ...)."""

    end: Vector
    error: Vector
    dense: Float[Array, "3 ..."]


def rosenbrock_step(
    field: Callable[[Vector], Vector],
    shifted_solver: Callable[[Vector, Any], Callable[[Vector], Vector]],
    start: Vector,
    h: Float[Array, ""],
) -> Step:
    """One step of y' = field(y) from `start`; `shifted_solver(y, c)` gives r -> (c I - J(y))^-1 r."""
    solve = shifted_solver(start, 1 / (GAMMA * h))
    a, c = jnp.asarray(A), jnp.asarray(C)

    def stage(i, values):
        point = start + jnp.tensordot(a[i], values, 1)
        return values.at[i].set(solve(field(point) + jnp.tensordot(c[i], values, 1) / h))

    values = jax.lax.fori_loop(0, STAGES, stage, jnp.zeros((STAGES, *start.shape), start.dtype))
    end = start + jnp.tensordot(jnp.asarray(B), values, 1)
    return Step(end, values[-1], jnp.tensordot(jnp.asarray(H), values, 1))


def interpolate(start: Vector, step: Step, theta: Float[Array, ""]) -> Vector:
    """The continuous extension at the fraction theta of a step."""
    k1, k2, k3 = step.dense
    rest = 1 - theta
    return rest * start + theta * (step.end + rest * (k1 + theta * (k2 + theta * k3)))
