"""No generic pretrained layer is definite: sym(M) has N eigenvalues of either sign (theory 4.7)."""

import numpy as np
import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Case, Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Identity, Inequality
from ..vector_hypotheses import ONE_CHANNEL, rows_independent, wide
from ..vector_pools import WIDE

POSITIVE, NEGATIVE = "positive eigenvalues of sym(M)", "negative eigenvalues of sym(M)"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    states = float(layer.d_state)
    return tuple(Expected(one, states, relation=Relation.EQUAL, tolerance=0.0) for one in (POSITIVE, NEGATIVE))


_lambda = sp.Symbol("lambda", real=True)
_b, _c = (sp.symbols(f"{letter}_1:4", real=True) for letter in "bc")
_B, _C = sp.Matrix([_b]), sp.Matrix([_c])
_W = sp.Matrix.vstack(_C, _B)
_J = sp.Matrix([[0, 1], [1, 0]]) / 2
_X = sp.Matrix(3, 1, sp.symbols("x_1:4", real=True))
_bb, _cc, _bc = ((left * right.T)[0] for left, right in ((_B, _B), (_C, _C), (_B, _C)))
_J4 = sp.Matrix([[0, 0, 1, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0]]) / 2
_z = sp.Symbol("z", positive=True)

STEPS = (
    Identity(
        says="sym(M) = W^T J W with W = [S_C; S_B] and J = [[0, I], [I, 0]] / 2: as quadratic forms, here for N = 1.",
        left=(_X.T * (_C.T * _B + _B.T * _C) / 2 * _X)[0],
        right=(_X.T * _W.T * _J * _W * _X)[0],
    ),
    Identity(
        says="J has N eigenvalues 1/2 and N eigenvalues -1/2: its characteristic polynomial for N = 2. W of full row "
        "rank keeps that inertia (Sylvester), and adds D - 2 N zeros.",
        left=(_lambda * sp.eye(4) - _J4).det(),
        right=(_lambda - sp.Rational(1, 2)) ** 2 * (_lambda + sp.Rational(1, 2)) ** 2,
    ),
    Identity(
        says="For N = 1 one sees it directly: the non-zero eigenvalues are those of J W W^T, with the determinant ...",
        left=(_J * _W * _W.T).det(),
        right=(_bc**2 - _bb * _cc) / 4,
    ),
    Inequality(
        says="... never positive, by Cauchy-Schwarz (and negative where b and c are independent): one of either sign.",
        smaller=(_bc**2 - _bb * _cc) / 4,
        larger=sp.Integer(0),
        gap=sum(((_b[i] * _c[j] - _b[j] * _c[i]) ** 2 for i, j in ((0, 1), (0, 2), (1, 2))), sp.Integer(0)) / 4,
    ),
)


def _one_state(S_B, S_C) -> Case:
    D = len(S_B[0])
    return Case(S6Layer.from_matrices(S_B=S_B, S_C=S_C, S_Delta=np.zeros((D, D)), a=1.0), np.ones((1, D)))


THEOREM = Theorem(
    name="generic_inertia",
    title="Generic layers are indefinite",
    origin=Origin.NEW,
    section="4.7",
    statement=(
        r"If the $2N$ rows of $S_B$ and $S_C$ are linearly independent (so $D \ge 2N$), $\mathrm{sym}(M)$ has exactly "
        r"$N$ positive and $N$ negative eigenvalues: it is not definite, and what a token does depends on the token."
    ),
    pool=WIDE,
    hypotheses=hypotheses.all_of(hypotheses.several_channels, wide, rows_independent),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D >= 2": ONE_CHANNEL,
        "D >= 2 N": _one_state([[1.0, 0.5], [0.0, 1.0]], [[1.0, 0.0], [0.5, 1.0]]),
        "the 2 N rows of S_B and S_C are independent": _one_state([[1.0, 2.0, 3.0]], [[0.5, 1.0, 1.5]]),
    },
    weaker=(
        WeakerClaim(
            claim="M has rank N, so sym(M) has at most N non-zero eigenvalues and can be semidefinite by chance",
            origin=Origin.NAIVE,
            case=_one_state([[1.0, 0.2, 0.1]], [[1.0, 0.1, 0.3]]),
            expected=(Expected(NEGATIVE, 0.0, relation=Relation.EQUAL, tolerance=0.0),),
            because="sym(M) has rank 2 N, even for rows as close as these, and N eigenvalues of either sign",
        ),
    ),
)
