"""The spectra of M and sym(M) from N x N and 2N x 2N matrices (theory 4, cheap exact linear algebra)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Relation, Theorem, Told, WeakerClaim
from ..steps import Identity
from ..vector_hypotheses import ONE_CHANNEL
from ..vector_pools import ANY_WEIGHTS, matrix_case

PLAIN = "gap between the spectra of S_B S_C^T and M"
SYMMETRIC = "gap between the spectra of the 2N x 2N problem and sym(M)"
#: Backward-stable eigenvalues of small random matrices; defective ones do not occur among them.
ROUNDING = 1e-9


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return tuple(Expected(one, 0.0, relation=Relation.EQUAL, tolerance=ROUNDING) for one in (PLAIN, SYMMETRIC))


_lambda = sp.Symbol("lambda", real=True)


def _matrix(letter: str, rows: int, columns: int) -> sp.Matrix:
    return sp.Matrix(rows, columns, lambda i, j: sp.Symbol(f"{letter}_{i + 1}{j + 1}", real=True))


_B, _C = _matrix("B", 2, 3), _matrix("C", 2, 3)
_b, _c = _matrix("b", 1, 3), _matrix("c", 1, 3)
_W, _J = sp.Matrix.vstack(_c, _b), sp.Matrix([[0, 1], [1, 0]]) / 2
_R = sp.Matrix([[sp.Symbol("r_11", real=True), sp.Symbol("r_12", real=True)], [0, sp.Symbol("r_22", real=True)]])

_g11, _g12, _g22 = sp.symbols("g_11 g_12 g_22", real=True)
_G, _gram = sp.Matrix([[_g11, _g12], [_g12, _g22]]), sp.flatten(_R.T * _R)


def _characteristic(matrix: sp.Matrix) -> sp.Expr:
    return (_lambda * sp.eye(matrix.rows) - matrix).det()


STEPS = (
    Identity(
        says="det(lambda - S_C^T S_B) = lambda^(D - N) det(lambda - S_B S_C^T), Sylvester's identity: D = 3, N = 2.",
        left=_characteristic(_C.T * _B),
        right=_lambda * _characteristic(_B * _C.T),
    ),
    Identity(
        says="sym(M) = W^T J W, so also det(lambda - sym(M)) = lambda^(D - 2 N) det(lambda - J W W^T): D = 3, N = 1.",
        left=_characteristic((_c.T * _b + _b.T * _c) / 2),
        right=_lambda * _characteristic(_J * _W * _W.T),
    ),
    Identity(
        says="With W^T = Q R, W W^T = R^T R, and J R^T R has the characteristic polynomial of the symmetric R J R^T.",
        left=_characteristic(_J * _G),
        where={_g11: _gram[0], _g12: _gram[1], _g22: _gram[3]},
        right=_characteristic(_R * _J * _R.T),
    ),
)

THEOREM = Theorem(
    name="spectral_identities",
    title="Spectra without D x D matrices",
    origin=Origin.SHARP,
    section="4",
    statement=(
        r"The non-zero eigenvalues of $M = S_C^\top S_B$ are those of the $N \times N$ matrix $S_B S_C^\top$; those of "
        r"$\mathrm{sym}(M) = W^\top J W$ are those of the symmetric $2N \times 2N$ matrix $R J R^\top$, $W^\top = QR$."
    ),
    pool=ANY_WEIGHTS,
    hypotheses=hypotheses.all_of(hypotheses.several_channels),
    conclusion=conclusion,
    steps=STEPS,
    breaks={"D >= 2": ONE_CHANNEL},
    weaker=(
        WeakerClaim(
            claim="the eigenvalues of M have the signs of those of sym(M)",
            origin=Origin.NAIVE,
            case=matrix_case([[-1.0, 10.0], [0.0, -1.0]], [[0.0, 0.0], [0.0, 0.0]], 0.0, [1.0, 1.0]),
            expected=(Expected("positive eigenvalues of sym(M)", 0.0, relation=Relation.EQUAL, tolerance=0.0),),
            because="M is not normal: its eigenvalues are both -1, those of sym(M) are 4 and -6",
        ),
    ),
)
