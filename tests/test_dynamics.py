"""The vector field against its definition, its symmetries, and the logarithmic coordinates against the field."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from s6_by_definition import attention_by_definition, field_by_definition, softplus

from mamba_dynamics._errors import HypothesisError, LayerShapeError
from mamba_dynamics._layer import Norms, RMSNorm, S6Layer
from mamba_dynamics.dynamics import ScalarTokenDynamics, TokenDynamics, token_dynamics
from mamba_dynamics.dynamics.step_size import log_step_size

# The scan and the definition add the same few hundred terms in another order.
ROUNDING = 1e-12


def random_layer(seed=0, D=5, N=3, R=2, scale=0.4, **fields):
    rng = np.random.default_rng(seed)
    return S6Layer.from_matrices(
        S_B=rng.normal(size=(N, D)),
        S_C=rng.normal(size=(N, D)),
        S_Delta=(rng.normal(size=(D, R)), scale * rng.normal(size=(R, D))),
        a=np.exp(rng.normal(size=(D, N))),
        dt_bias=rng.normal(size=D),
        **fields,
    )


def tokens(seed=0, L=7, D=5):
    return np.random.default_rng(100 + seed).normal(size=(L, D))


def field(layer, x):
    with jax.enable_x64(True):
        return np.asarray(token_dynamics(layer)(0.0, jnp.asarray(x), None))


@pytest.mark.parametrize("seed", range(3))
def test_field_and_attention_are_the_definition(seed, x64):
    layer, x = random_layer(seed), tokens(seed)
    dynamics = token_dynamics(layer)
    P = attention_by_definition(layer, x)
    np.testing.assert_allclose(dynamics.hidden_attention(jnp.asarray(x)), P, rtol=ROUNDING, atol=ROUNDING)
    scale = np.abs(P).sum() * np.abs(x).max()
    np.testing.assert_allclose(dynamics(0.0, jnp.asarray(x), None), field_by_definition(layer, x), atol=1e-13 * scale)


@settings(deadline=None, max_examples=12)
@example(0, 12, 9, 6)
@example(0, 1, 2, 1)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(2, 9), st.integers(1, 6))
def test_field_is_hidden_attention_times_tokens(seed, L, D, N):
    layer = random_layer(seed, D=D, N=N, R=min(2, D))
    x = tokens(seed, L, D)
    with jax.enable_x64(True):
        dynamics = token_dynamics(layer)
        # One program for each shape: many small ones take longer to compile.
        both = jax.jit(lambda x: (dynamics.hidden_attention(x), dynamics(0.0, x, None)))
        P, velocity = map(np.asarray, both(jnp.asarray(x)))
    scale = np.einsum("dlj,jd->ld", np.abs(P), np.abs(x)).max() + 1.0
    np.testing.assert_allclose(velocity, np.einsum("dlj,jd->ld", P, x), atol=ROUNDING * scale)


@pytest.mark.parametrize("N", [1, 3])
def test_scalar_field_is_the_general_one(N, x64):
    rng = np.random.default_rng(N)
    layer = S6Layer.scalar(mu=rng.normal(size=N), S_Delta=0.7, a=np.exp(rng.normal(size=N)), dt_bias=-0.3)
    x = rng.normal(size=6)
    dynamics = token_dynamics(layer)
    assert isinstance(dynamics, ScalarTokenDynamics)
    want = field_by_definition(layer, x[:, None])[:, 0]
    np.testing.assert_allclose(dynamics(0.0, jnp.asarray(x), None), want, rtol=1e-11, atol=1e-12)
    P = attention_by_definition(layer, x[:, None])[0]
    np.testing.assert_allclose(dynamics.hidden_attention(jnp.asarray(x)), P, rtol=1e-11, atol=1e-12)


def test_scan_output_of_a_real_layer(real_layer):
    """The field at a trained model's own tokens is that model's scan output."""
    layer, activations = real_layer
    # float32 rounding of sums of size 1.5e3 in the stored activations.
    found = field(layer, activations["x_conv"].astype(float))
    np.testing.assert_allclose(found, activations["scan_out"], atol=7e-4)


finite = st.floats(-2, 2, allow_subnormal=False).filter(lambda v: abs(v) > 1e-3)


@settings(deadline=None, max_examples=50)
@given(st.lists(finite, min_size=2, max_size=8), finite, finite, st.floats(0.01, 3), st.floats(-2, 2), st.data())
@example([1.0, 1.0, 1.0, 2.0], 1.0, 2.0, 3.0, 2.0, None)
def test_causality(x, mu, s, a, b, data):
    cut = data.draw(st.integers(1, len(x) - 1)) if data else len(x) - 1
    layer = S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b)
    changed = np.array(x)
    changed[cut:] += 1.0
    np.testing.assert_array_equal(field(layer, x)[:cut], field(layer, changed)[:cut])
    # ... and it is a real dependence: a token does see the one before it (through at most e^-18 of decay).
    earlier = np.array(x)
    earlier[cut - 1] *= 1.5
    assert field(layer, x)[cut] != field(layer, earlier)[cut]


def test_causality_in_several_dimensions():
    layer, x = random_layer(3), tokens(3)
    changed = x.copy()
    changed[4:] -= 2.0
    np.testing.assert_array_equal(field(layer, x)[:4], field(layer, changed)[:4])
    assert not np.array_equal(field(layer, x)[4:], field(layer, changed)[4:])


@settings(deadline=None, max_examples=50)
@given(st.lists(finite, min_size=1, max_size=8), finite, finite, st.floats(0.01, 3), st.floats(-2, 2))
@example([1.0, -1.0, 0.5], -1.0, 1.0, 1.0, 0.0)
def test_sign_and_monotonicity(x, mu, s, a, b):
    """x_l' has the sign of mu x_l: |x_l| shrinks for mu < 0 and grows for mu > 0, and no sign changes."""
    rate = field(S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b), x)
    np.testing.assert_array_equal(np.sign(rate), np.sign(mu) * np.sign(x))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(finite, min_size=1, max_size=6), finite, finite, st.floats(0.01, 3), st.floats(-2, 2), st.floats(0.2, 5)
)
def test_scaling_and_flip(x, mu, s, a, b, c):
    x = np.array(x)
    base = field(S6Layer.scalar(mu=mu, S_Delta=s, a=a, dt_bias=b), x)
    scaled = field(S6Layer.scalar(mu=mu / c**2, S_Delta=s / c, a=a, dt_bias=b), c * x)
    np.testing.assert_allclose(scaled, c * base, rtol=1e-11)
    flipped = field(S6Layer.scalar(mu=mu, S_Delta=-s, a=a, dt_bias=b), -x)
    np.testing.assert_array_equal(flipped, -base)


def relative_velocities(layer, x):
    """dx/dt from the field and from the logarithmic coordinates, d ln|x_l| / ds, and the restlessness."""
    with jax.enable_x64(True):
        dynamics = token_dynamics(layer)
        log_dynamics = dynamics.in_log_coordinates(x)

        def position(state):
            log_abs, sign = log_dynamics.log_tokens(state)
            return jnp.where(sign == 0, 0.0, sign * jnp.exp(log_abs))

        # One program: many small ones take longer to compile.
        @jax.jit
        def found(x, state):
            velocity, log_rate = log_dynamics.field(state)
            moved = jax.jvp(position, (state,), (velocity,))[1] * jnp.exp(log_rate)
            growth = jax.jvp(log_dynamics.log_norms, (state,), (velocity,))[1]
            return dynamics(0.0, x, None), moved, growth, log_dynamics.restlessness(state)

        return tuple(map(np.asarray, found(jnp.asarray(x), log_dynamics.initial_state())))


NORMS = Norms(B=RMSNorm(eps=1e-6), C=RMSNorm(eps=1e-6, weight=np.array([1.0, 0.5, 2.0])), dt=RMSNorm(eps=1e-3))


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        pytest.param(S6Layer.scalar(mu=1.3, S_Delta=-0.4, a=0.7), np.array([1.0, 0.0, -2.0, 0.3]), id="scalar"),
        pytest.param(S6Layer.scalar(mu=[1.0, -2.0], S_Delta=0.4, a=[0.7, 2.0]), np.array([1.0, -0.5]), id="two rates"),
        pytest.param(random_layer(1), tokens(1), id="tokens"),
        pytest.param(random_layer(2), np.vstack([tokens(2)[:2], np.zeros(5), tokens(2)[2:]]), id="a zero token"),
        pytest.param(random_layer(4), tokens(4)[:1], id="first token"),
        pytest.param(random_layer(4), np.array([[1.0, 0.0, -1.0, 0.5, 0.0]]), id="first token, zero coordinates"),
        pytest.param(random_layer(5, norms=NORMS), tokens(5), id="norms"),
        pytest.param(random_layer(6, norms=NORMS), 1e-4 * tokens(6)[:1], id="first token, norms"),
    ],
)
def test_log_coordinates_move_as_the_field_says(layer, x):
    plain, logarithmic, growth, restlessness = relative_velocities(layer, x)
    np.testing.assert_allclose(logarithmic, plain, rtol=1e-11, atol=1e-12 * np.abs(plain).max())
    active = np.atleast_2d(x.T).T.any(axis=1)
    assert np.all(np.abs(growth[active]) <= 1 + 1e-12), "the growth clock bounds every token's logarithmic speed"
    assert np.all((restlessness >= 0) & (restlessness <= 1 + 1e-12))
    assert np.all(restlessness[active] > 1e-3), "nothing is at rest here"
    assert np.all(restlessness[~active] == 0)


@pytest.mark.parametrize("length", [1, 2])
def test_restlessness_vanishes_on_the_null_cone(length, x64):
    layer = S6Layer.from_matrices(S_B=np.diag([1.0, -1.0]), S_C=np.eye(2), S_Delta=np.diag([-1.0, 1.0]), a=1.0)
    x = np.array([[1.5, 1.5], [0.2, -0.7]])[:length]
    log_dynamics = token_dynamics(layer).in_log_coordinates(x)
    restlessness = np.asarray(log_dynamics.restlessness(log_dynamics.initial_state()))
    assert restlessness[0] < 1e-15
    assert np.all(restlessness[1:] > 0.01)


def test_norms_are_applied_as_rms_norms(x64):
    layer, x = random_layer(5, norms=NORMS), tokens(5)
    dynamics = token_dynamics(layer)
    assert isinstance(dynamics, TokenDynamics)

    def rms(rows, norm):
        weight = 1.0 if norm.weight is None else norm.weight
        return weight * rows / np.sqrt(np.mean(rows**2, axis=1, keepdims=True) + norm.eps)

    np.testing.assert_allclose(dynamics.weights.B(jnp.asarray(x)), rms(x @ layer.S_B[0].T, NORMS.B), rtol=1e-12)
    np.testing.assert_allclose(dynamics.weights.C(jnp.asarray(x)), rms(x @ layer.S_C[0].T, NORMS.C), rtol=1e-12)
    low = rms(x @ layer.dt_down[0].T, NORMS.dt)
    np.testing.assert_allclose(
        dynamics.weights.raw_step_size(jnp.asarray(x)), low @ layer.dt_up[0].T + layer.dt_bias[0], rtol=1e-11
    )


@pytest.mark.parametrize("z", [-1e5, -800.0, -38.0, -36.0, -20.0, -1.0, 0.0, 3.0, 500.0, 1e200])
def test_log_step_size(z, x64):
    import mpmath

    with mpmath.workdps(50):
        exact = mpmath.mpf(z) - mpmath.exp(z) / 2 if z < -700 else mpmath.log(mpmath.log1p(mpmath.exp(mpmath.mpf(z))))
        exact = mpmath.log(mpmath.mpf(z)) if z > 400 else exact
    assert float(log_step_size(jnp.asarray(z))) == pytest.approx(float(exact), rel=1e-14, abs=1e-15)
    assert softplus(0.0) == pytest.approx(np.log(2))


def test_every_group_is_a_layer_of_its_own(x64):
    one, two = random_layer(1), random_layer(2)
    both = S6Layer(
        **{
            key: np.concatenate([getattr(one, key), getattr(two, key)])
            for key in ("S_B", "S_C", "dt_down", "dt_up", "dt_bias", "a")
        }
    )
    x = jnp.asarray(tokens())
    for group, layer in enumerate((one, two)):
        np.testing.assert_array_equal(
            token_dynamics(both, group=group)(0.0, x, None), token_dynamics(layer)(0.0, x, None)
        )
    with pytest.raises(HypothesisError, match=r"pass group=0\.\.1"):
        token_dynamics(both)


def test_a_layer_whose_projections_read_another_vector_is_refused():
    with pytest.raises(HypothesisError, match="functions of u"):
        token_dynamics(random_layer(0, acts_on="u", kind="mamba2"))


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(LayerShapeError, match="S_C should have shape"):
        S6Layer.from_matrices(S_B=np.ones((2, 3)), S_C=np.ones((3, 3)), S_Delta=np.ones((3, 3)), a=1.0)
    with pytest.raises(LayerShapeError, match="exactly one of a and A_log"):
        S6Layer.from_matrices(S_B=np.ones((2, 3)), S_C=np.ones((2, 3)), S_Delta=np.ones((3, 3)))
    with pytest.raises(LayerShapeError, match="equal lengths"):
        S6Layer.scalar(mu=[1.0, 2.0], S_Delta=1.0, a=1.0)


def test_clipped_step_sizes_are_refused():
    """The ODE here does not clip: better no answer than that of another layer."""
    for limit in ((0.01, float("inf")), (0.0, 0.1)):
        layer = S6Layer.from_matrices(S_B=-np.eye(2), S_C=np.eye(2), S_Delta=np.eye(2), a=1.0, dt_limit=limit)
        with pytest.raises(HypothesisError, match="not clipped, found dt_limit"):
            token_dynamics(layer)


def test_states_of_one_decay_rate_are_one_state():
    """Joined exactly: what cancels leaves nothing, not the rounding error of a sum."""
    found = token_dynamics(S6Layer.scalar(mu=[1.1, 0.5, 2.2, -3.3000000000000003], S_Delta=1.0, a=[1.0, 2.0, 1.0, 1.0]))
    np.testing.assert_array_equal(found.mu, [0.0, 0.5])
    np.testing.assert_array_equal(found.a, [1.0, 2.0])
