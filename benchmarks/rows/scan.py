"""The vector field of the token ODE, which is the S6 scan: L tokens, D channels, N states.

The torch peers are given discrete decays and inputs to make, as in their own code: `mambapy` scans in parallel over
the tokens, and the loop token by token is how `transformers` goes where its CUDA kernels are absent.
"""

from typing import Any

import numpy as np

from ..ceilings import cores
from .base import OURS, Row

CHANNELS, STATES = 1536, 16


def arrays(tokens: int, dtype: str) -> tuple[np.ndarray, ...]:
    """x, delta, a, B, C as trained layers have them: steps around 0.05, rates 1 to 10."""
    rng = np.random.default_rng(0)
    x, z = rng.standard_normal((2, tokens, CHANNELS))
    rates = np.exp(1 + 0.5 * rng.standard_normal((CHANNELS, STATES)))
    B, C = rng.standard_normal((2, tokens, STATES))
    return tuple(np.asarray(one, dtype) for one in (x, np.logaddexp(0, z - 3), rates, B, C))


def _ours(dtype: str):
    """One program on one device: XLA's loop over tokens keeps to one core."""

    def prepare(tokens: int):
        import jax

        jax.config.update("jax_enable_x64", True)
        from mamba_dynamics._selective_scan import selective_scan

        given = [jax.device_put(one) for one in arrays(tokens, dtype)]
        return lambda: selective_scan(*given)

    return prepare


def _sharded(dtype: str):
    """The same program with the channels shared out among as many devices as there are cores."""

    def prepare(tokens: int):
        import jax

        jax.config.update("jax_enable_x64", True)
        jax.config.update("jax_num_cpu_devices", cores())
        if jax.default_backend() == "gpu":
            raise RuntimeError("a GPU is one device")
        from jax.sharding import NamedSharding, PartitionSpec

        from mamba_dynamics._selective_scan import selective_scan

        mesh = jax.make_mesh((cores(),), ("channels",))
        columns, rows, whole = PartitionSpec(None, "channels"), PartitionSpec("channels"), PartitionSpec()
        placed = [NamedSharding(mesh, one) for one in (columns, columns, rows, whole, whole)]
        given = [jax.device_put(one, where) for one, where in zip(arrays(tokens, dtype), placed, strict=True)]
        return lambda: selective_scan(*given)

    return prepare


def _associative(dtype: str):
    def prepare(tokens: int):
        import jax
        import jax.numpy as jnp

        jax.config.update("jax_enable_x64", True)
        given = [jax.device_put(one) for one in arrays(tokens, dtype)]

        def after(first, second):
            return first[0] * second[0], second[0] * first[1] + second[1]

        @jax.jit
        def scan(x, delta, a, B, C):
            decays = jnp.exp(-delta[:, :, None] * a)
            states = jax.lax.associative_scan(after, (decays, (delta * x)[:, :, None] * B[:, None, :]))[1]
            return jnp.einsum("ldn,ln->ld", states, C)

        return lambda: scan(*given)

    return prepare


def on_its_device(array: np.ndarray) -> Any:
    """A tensor of torch, on the GPU if there is one."""
    import torch

    return torch.from_numpy(array).to("cuda" if torch.cuda.is_available() else "cpu")


def torch_inputs(tokens: int, dtype: str) -> list[Any]:
    import torch

    torch.set_grad_enabled(False)
    return [on_its_device(one) for one in arrays(tokens, dtype)]


def _mambapy(dtype: str):
    def prepare(tokens: int):
        import torch
        from mambapy.pscan import pscan

        x, delta, a, B, C = torch_inputs(tokens, dtype)

        def run():
            decays = torch.exp(-delta[..., None] * a)
            states = pscan(decays[None], ((delta * x)[..., None] * B[:, None])[None])[0]
            return torch.einsum("ldn,ln->ld", states, C)

        return run

    return prepare


def _torch_loop(dtype: str, threads: int | None = None):
    """On as many threads as torch takes by itself, which is one for each core, or on so many."""

    def prepare(tokens: int):
        import torch

        if threads is not None:
            torch.set_num_threads(threads)
        x, delta, a, B, C = torch_inputs(tokens, dtype)

        def run():
            decays = torch.exp(-delta[..., None] * a)
            entering = (delta * x)[..., None] * B[:, None]
            h, y = torch.zeros_like(a), []
            for l in range(len(x)):  # noqa: E741
                h = decays[l] * h + entering[l]
                y.append(h @ C[l])
            return torch.stack(y)

        return run

    return prepare


def _row(dtype: str, name: str) -> Row:
    return Row(
        name=name,
        title=f"Vector field (S6 scan), {dtype}",
        sides={
            OURS: _ours(dtype),
            "ours, channels on all cores": _sharded(dtype),
            "mambapy pscan": _mambapy(dtype),
            "torch, token by token": _torch_loop(dtype),
            "torch, token by token, one core": _torch_loop(dtype, threads=1),
            "associative_scan": _associative(dtype),
        },
        sizes=(256, 1024, 4096),
        label=lambda tokens: f"{tokens} x {CHANNELS} x {STATES}",
        scale=float,
        work=lambda tokens: {f"exp {dtype}": float(tokens * CHANNELS * STATES)},
        tolerance=1e-4 if dtype == "float32" else 1e-10,
        headline=1,
        note="one program of ours keeps to one core; torch takes all of them where nothing else is said",
    )


SCAN, SCAN64 = _row("float32", "scan"), _row("float64", "scan64")
