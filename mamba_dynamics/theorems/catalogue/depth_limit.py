"""A stack of K residual layers approaches the flow of the ODE at first order (theory 2)."""

import sympy as sp

from ..._layer import S6Layer
from .. import hypotheses
from ..base import FloatArray
from ..contract import Expected, Origin, Theorem, Told, WeakerClaim
from ..pools import ANY, scalar_case
from ..steps import Derivative, Identity, Inequality, Limit
from ..symbols import delta, k, mu, t, w, x

ORDER = "order of the depth limit"


def conclusion(layer: S6Layer, x0: FloatArray, told: Told) -> tuple[Expected, ...]:
    return (Expected(ORDER, 1.0),)


_h = sp.Symbol("h", positive=True)
_flow = x / sp.sqrt(1 - 2 * mu * delta * x**2 * t)
_f = mu * delta * x**3

STEPS = (
    Derivative(
        says="With a constant step size, x_0 (1 - 2 mu delta x_0^2 t)^(-1/2) is the flow of token 1.",
        function=x / sp.sqrt(1 + 2 * mu * delta * x**2 * t),
        variable=t,
        equals=-mu * delta * (x / sp.sqrt(1 + 2 * mu * delta * x**2 * t)) ** 3,
    ),
    Limit(
        says="One layer, x + h f(x), misses the flow by h^2 f'(x) f(x) / 2 to leading order: one step costs O(h^2).",
        expression=(_flow.subs(t, _h) - x - _h * _f) / _h**2,
        variable=_h,
        point=sp.Integer(0),
        value=sp.diff(_f, x) * _f / 2,
        decades=(4.0, 6.0, 12.0, 24.0),
    ),
    Inequality(
        says="An error grows by at most 1 + h Lambda <= e^{h Lambda} per layer, Lambda the field's Lipschitz constant.",
        smaller=1 + w,
        larger=sp.exp(w),
        rises_from=(w, sp.Integer(0)),
    ),
    Identity(
        says="K = T / h layers each add c h^2: the geometric sum of what is left of them is c h (e^{Lambda T} - 1) / "
        "Lambda when every step amplifies by e^{h Lambda} = 1 + h Lambda_h, so O(h).",
        left=k * _h**2 * ((1 + _h * w) ** 5 - 1) / (_h * w),
        right=k * _h**2 * sum((1 + _h * w) ** n for n in range(5)),
    ),
)

THEOREM = Theorem(
    name="depth_limit",
    title="First-order depth limit",
    origin=Origin.NEW,
    section="2",
    statement=(
        r"On a compact time interval before any blow-up, the stack $x^{k+1} = x^k + \tfrac{T}{K}\,\mathrm{S6}(x^k)$ of "
        r"$K$ identical residual layers differs from the flow of the ODE at time $T$ by $O(1/K)$, and not less in "
        r"general."
    ),
    pool=ANY,
    hypotheses=hypotheses.all_of(hypotheses.one_channel, hypotheses.mu_not_zero, hypotheses.some_active_token),
    conclusion=conclusion,
    steps=STEPS,
    breaks={
        "D = 1": hypotheses.TWO_CHANNELS,
        "mu != 0": scalar_case(0.0, 1.0, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
        "some token is non-zero": scalar_case(1.0, 1.0, 1.0, 0.0, [0.0, 0.0, 0.0, 0.0]),
    },
    weaker=(
        WeakerClaim(
            claim="the stack approaches the flow at second order",
            origin=Origin.NAIVE,
            case=scalar_case(-1.0, 0.5, 1.0, 0.0, [1.0, 0.5, 0.3, 0.2]),
            expected=(Expected(ORDER, 2.0),),
            because="a residual layer is one Euler step",
        ),
    ),
    remarks=("Proved for D = 1 here; the argument needs only a locally Lipschitz field, and D > 1 is the same.",),
)
