"""What a GPU changes, as far as a machine without one can show: kernels run interpreted, programs compiled for CUDA but
not run, products that ask for full precision, and where a run is put."""

import os
import subprocess
import sys
import threading
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from mamba_dynamics import S6Layer, _devices, _solve, load_model, solve, token_dynamics
from mamba_dynamics._selective_scan import by_device, kernels, scan_with_sizes, selective_scan, trainable_scan
from mamba_dynamics._selective_scan.trainable import KEPT_EVERY
from mamba_dynamics.sample import sample_path
from mamba_dynamics.training import study
from mamba_dynamics.verification import verify as verify_module

FIXTURES = Path(__file__).parent / "fixtures"
#: What programs call a kernel.
KERNEL = "triton"


@pytest.fixture
def small_blocks(monkeypatch):
    """Chunks of 4 tokens and blocks of 2 channels: several of each in small arrays, which interpreters need."""
    monkeypatch.setattr(kernels, "CHUNK", 4)
    monkeypatch.setattr(kernels, "CHANNELS", 2)
    for one in (kernels.scan, kernels.scan_keeping_states, kernels.gradients):
        one.clear_cache()
    yield
    for one in (kernels.scan, kernels.scan_keeping_states, kernels.gradients):
        one.clear_cache()


@pytest.fixture
def as_if_with_gpu(monkeypatch):
    """Programs are traced as on a machine with a GPU, and compiled for the processor."""
    monkeypatch.setattr(_devices, "has_gpu", lambda: True)
    monkeypatch.setattr(by_device, "has_gpu", lambda: True)
    jax.clear_caches()
    yield
    jax.clear_caches()


def inputs(length, channels, states, seed=0):
    """entering, delta, a, B, C."""
    rng = np.random.default_rng(seed)
    u, z = rng.standard_normal((2, length, channels))
    B, C = rng.standard_normal((2, length, states))
    return u, np.logaddexp(0, z), np.exp(rng.standard_normal((channels, states))), B, C


def by_hand(u, delta, a, B, C):
    """(y, sum_n h^2, the states after each token (L, D, N)) of the recurrence, in plain numpy."""
    h, states = np.zeros(a.shape), []
    for l in range(len(u)):
        h = np.exp(-a * delta[l][:, None]) * h + np.outer(u[l], B[l])
        states.append(h)
    states = np.array(states)
    return np.einsum("ldn,ln->ld", states, C), np.sum(states**2, axis=2), states


# A token and a channel alone; chunks and blocks filled; not filled.
@pytest.mark.usefixtures("x64", "small_blocks")
@pytest.mark.parametrize("shape", [(1, 1, 1), (8, 4, 3), (11, 5, 2)])
def test_the_kernel_is_the_recurrence(shape):
    given = inputs(*shape)
    y, squares, _ = by_hand(*given)
    found = kernels.scan(*given, interpret=True)
    np.testing.assert_allclose(found[0], y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(found[1], squares, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("x64", "small_blocks")
@pytest.mark.parametrize("shape", [(1, 1, 1), (11, 3, 2)])
def test_the_kernel_keeps_the_states_before_its_chunks(shape):
    given, every = inputs(*shape), 4
    y, _, states = by_hand(*given)
    found, kept = kernels.scan_keeping_states(*given, every=every, interpret=True)
    np.testing.assert_allclose(found, y, rtol=1e-12, atol=1e-13)
    before = np.concatenate([np.zeros_like(states[:1]), states[every - 1 : -1 : every]])
    np.testing.assert_allclose(np.swapaxes(kept, 1, 2), before, rtol=1e-12, atol=1e-13)


@pytest.mark.usefixtures("x64", "small_blocks")
@pytest.mark.parametrize("shape", [(1, 1, 1), (11, 3, 2)])
def test_the_reverse_kernel_against_finite_differences(shape):
    given, every = inputs(*shape), 4
    gy = np.random.default_rng(1).standard_normal(shape[:2])
    _, kept = kernels.scan_keeping_states(*given, every=every, interpret=True)
    found = kernels.gradients(*given, kept, gy, every=every, interpret=True)
    step = 1e-6
    for which, gradient in enumerate(found):
        direction = np.random.default_rng(2).standard_normal(given[which].shape)
        ahead, behind = (
            np.sum(gy * by_hand(*(one + s * direction if i == which else one for i, one in enumerate(given)))[0])
            for s in (step, -step)
        )
        np.testing.assert_allclose(np.sum(gradient * direction), (ahead - behind) / (2 * step), rtol=1e-6, atol=1e-7)


def compiled_for(platform, function, *arguments):
    return jax.jit(function).trace(*arguments).lower(lowering_platforms=(platform,)).as_text()


@pytest.mark.usefixtures("x64", "as_if_with_gpu")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_programs_for_cuda_have_the_kernels_and_no_loop(dtype):
    given = [np.asarray(one, dtype) for one in inputs(3 * KEPT_EVERY, 40, 16)]

    def gradient(*arguments):
        return jax.grad(lambda *a: jnp.sum(trainable_scan(*a)), argnums=(0, 2))(*arguments)

    for function, count in ((selective_scan, 3), (scan_with_sizes, 3), (gradient, 3 + 3)):
        for_cuda, for_cpu = (compiled_for(platform, function, *given) for platform in ("cuda", "cpu"))
        assert for_cuda.count(KERNEL) >= count
        assert "stablehlo.while" not in for_cuda
        assert KERNEL not in for_cpu


@pytest.mark.usefixtures("x64", "as_if_with_gpu")
@pytest.mark.parametrize(("states", "dtype"), [(by_device.MOST_STATES + 1, "float64"), (4, "float16")])
def test_what_the_kernels_cannot_do_is_left_to_the_loop(states, dtype):
    given = [np.asarray(one, dtype) for one in inputs(5, 2, states)]
    assert KERNEL not in compiled_for("cuda", selective_scan, *given)


@pytest.mark.usefixtures("x64", "as_if_with_gpu")
def test_a_processor_beside_a_gpu_computes_the_same_with_derivatives():
    given = inputs(19, 3, 4)
    u, delta, a, B, C = given
    y, squares, _ = by_hand(*given)
    np.testing.assert_allclose(selective_scan(u / delta, delta, a, B, C), y, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(scan_with_sizes(*given)[1], squares.sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(trainable_scan(u / delta, delta, a, B, C), y, rtol=1e-12, atol=1e-13)
    direction = np.random.default_rng(3).standard_normal(C.shape)
    # y is linear in C.
    along = by_hand(u, delta, a, B, direction)[0]
    _, tangent = jax.jvp(lambda C: selective_scan(u / delta, delta, a, B, C), (C,), (direction,))
    np.testing.assert_allclose(tangent, along, rtol=1e-12, atol=1e-13)
    of_C = jax.grad(lambda C: jnp.sum(selective_scan(u / delta, delta, a, B, C)))(C)
    np.testing.assert_allclose(np.sum(of_C * direction), np.sum(along), rtol=1e-12)
    both = jax.vmap(selective_scan, in_axes=(0, None, None, None, None))(np.stack([u, 2 * u]) / delta, *given[1:])
    np.testing.assert_allclose(both, np.stack([y, 2 * y]), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("folder", [sample_path(), FIXTURES / "mamba2"], ids=["mamba", "mamba2"])
def test_float32_products_of_a_model_are_in_float32(folder):
    """A GPU left alone rounds their factors to 11 bits."""
    model = load_model(folder)
    program = eqx.filter_jit(lambda model, ids: model(ids)).lower(model, jnp.arange(9)).as_text()
    products = [line for line in program.splitlines() if "dot_general" in line]
    assert len(products) > 5
    for line in products:
        assert "precision = [HIGHEST, HIGHEST]" in line


@pytest.mark.parametrize("tokens", [[1.0, -0.5], [[1.0, 0.2], [0.5, -0.3]]], ids=["scalar", "vectors"])
def test_solve_asks_where_to_run(tokens, monkeypatch):
    asked = []
    monkeypatch.setattr(_solve, "where_it_pays", lambda size: asked.append(size) or nullcontext())
    x0, one = np.array(tokens), np.ones((1, 2))
    scalar = S6Layer.scalar(mu=-1.0, S_Delta=0.5, a=1.0)
    layer = scalar if x0.ndim == 1 else S6Layer.from_matrices(S_B=one, S_C=-one, S_Delta=np.eye(2), a=1.0)
    solve(token_dynamics(layer), x0, until=0.1)
    assert asked == [x0.size]


def test_small_runs_stay_on_the_processor_and_wide_ones_go_to_the_gpu(monkeypatch):
    (processor,) = jax.local_devices(backend="cpu")[:1]
    with _devices.where_it_pays(1):
        assert jax.config.jax_default_device is None  # without a GPU there is nothing to choose
    monkeypatch.setattr(_devices, "has_gpu", lambda: True)
    with _devices.where_it_pays(_devices.WORTH_A_GPU - 1):
        assert jax.config.jax_default_device == processor
    with _devices.where_it_pays(_devices.WORTH_A_GPU):
        assert jax.config.jax_default_device is None


def test_a_device_that_the_caller_names_is_kept(monkeypatch):
    monkeypatch.setattr(_devices, "has_gpu", lambda: True)
    with jax.default_device("cpu"), _devices.where_it_pays(1):
        assert jax.config.jax_default_device == "cpu"  # what was said, not the device that it would be


def test_without_a_processor_to_go_to_a_run_stays(monkeypatch):
    monkeypatch.setattr(_devices, "has_gpu", lambda: True)

    def none(backend):
        raise RuntimeError("Unknown backend cpu")

    monkeypatch.setattr(jax, "local_devices", none)
    with _devices.where_it_pays(1):
        assert jax.config.jax_default_device is None


def test_processes_side_by_side_leave_the_gpu_alone(monkeypatch):
    """`verify` starts its own with what forbids it, a study's worker forbids it to itself."""
    found = []

    def pool(*_, **options):
        found.append(options["initializer"])
        raise KeyboardInterrupt

    monkeypatch.setattr(verify_module, "ProcessPoolExecutor", pool)
    with pytest.raises(KeyboardInterrupt):
        verify_module.verify(["dichotomy"], cases=1, processes=2)
    assert found == [_devices.on_processors_only]
    monkeypatch.setattr(study, "on_processors_only", lambda: found.append("study"))
    monkeypatch.setattr(study, "parent_process", lambda: SimpleNamespace(join=threading.Event().wait))
    monkeypatch.setenv("XLA_FLAGS", "")
    study._worker()
    assert found[1:] == ["study"]


def test_a_process_on_processors_only():
    code = "from mamba_dynamics import _devices as d, solve; import jax; d.on_processors_only(); print(jax.devices())"
    environment = os.environ | {"JAX_PLATFORMS": "nothing_that_exists"}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert "CpuDevice" in run.stdout, run.stderr


def test_a_program_by_itself_is_compiled_for_the_widest_vectors_and_within_another_as_that_is(monkeypatch, x64):
    monkeypatch.setitem(_devices.WIDEST_VECTORS, "xla_no_such_option", 1)
    square = _devices.in_widest_vectors(lambda x: x * x)
    with pytest.raises(Exception, match="xla_no_such_option"):
        square(np.ones(2))
    np.testing.assert_array_equal(jax.jit(square)(np.full(2, 3.0)), 9.0)
    np.testing.assert_array_equal(jax.vmap(square)(np.full(2, 3.0)), 9.0)
    assert jax.grad(square)(3.0) == 6.0
