"""What this machine can do at best: the rates that a row's work is held against.

Each ceiling is the fastest of a few plain loops over arrays that fit into the cache (a file: into memory), on all cores
that this process may use or on its GPU, measured in the same run as the rows.
"""

import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

#: Elements of an array that stays in a core's cache.
BLOCK = 16384
SECONDS = 0.3


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def exponentials(dtype: str) -> float:
    """exp evaluations a second, by the faster of numpy's loop and XLA's."""
    return max(_numpy_exp(dtype), _xla_exp(dtype))


def flops(dtype: str) -> float:
    """Floating-point operations a second of a matrix product, by the faster of numpy's and XLA's."""
    return max(_numpy_flops(dtype), _xla_flops(dtype))


def _numpy_flops(dtype: str) -> float:
    a = np.random.default_rng(0).standard_normal((1024, 1024)).astype(dtype)
    return 2 * 1024**3 * _calls_a_second(lambda: a @ a)


def _xla_flops(dtype: str) -> float:
    import jax
    import jax.numpy as jnp

    size = 8192 if jax.default_backend() == "gpu" else 1024
    with jax.enable_x64(True):
        a = jax.random.normal(jax.random.key(0), (size, size), dtype)
        product = jax.jit(lambda a: jnp.matmul(a, a, precision="highest"))
        return 2 * size**3 * _calls_a_second(lambda: product(a).block_until_ready())


def file_bytes() -> float:
    """Bytes a second read from a file that is in the page cache, into one buffer."""
    size = 64 * 2**20
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bytes"
        path.write_bytes(os.urandom(2**20) * 64)
        buffer = bytearray(size)

        def read():
            with path.open("rb", buffering=0) as file:
                file.readinto(buffer)

        return size * _calls_a_second(read)


def _numpy_exp(dtype: str) -> float:
    """All cores, a thread each: numpy's loops release the interpreter."""
    rates = [0.0] * cores()

    def work(k: int):
        x = np.linspace(-4, 0, BLOCK, dtype=dtype)
        out = np.empty_like(x)

        def one():
            for _ in range(64):
                np.exp(x, out=out)

        rates[k] = 64 * BLOCK * _calls_a_second(one)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(cores())]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(rates)


def _xla_exp(dtype: str) -> float:
    """One large elementwise program that keeps its block: exp iterated, x -> exp(-x), which tends to a fixed point."""
    import jax
    import jax.numpy as jnp

    from mamba_dynamics._devices import WIDEST_VECTORS

    repeats, elements = 64, 2**24 if jax.default_backend() == "gpu" else BLOCK * cores()
    with jax.enable_x64(True):
        x = jnp.linspace(-4, 0, elements, dtype=dtype)

        @partial(jax.jit, compiler_options=WIDEST_VECTORS)
        def loop(x):
            for _ in range(repeats):
                x = jnp.exp(-x)
            return x

        loop(x).block_until_ready()
        return repeats * x.size * _calls_a_second(lambda: loop(x).block_until_ready())


def _calls_a_second(call: Callable[[], object]) -> float:
    call()
    calls, began = 0, time.perf_counter()
    while (passed := time.perf_counter() - began) < SECONDS:
        call()
        calls += 1
    return calls / passed


CEILINGS: dict[str, Callable[[], float]] = {
    "exp float32": lambda: exponentials("float32"),
    "exp float64": lambda: exponentials("float64"),
    "flops float32": lambda: flops("float32"),
    "flops float64": lambda: flops("float64"),
    "file bytes": file_bytes,
}


def _gpu() -> str:
    """The name of the GPU that JAX computes on; empty if it does not."""
    import jax

    return jax.devices()[0].device_kind if jax.default_backend() == "gpu" else ""


def measured(kind: str) -> float:
    """One of the ceilings, found in a process of its own: a command's peak of memory starts at its parent's."""
    return float(_in_a_process(kind))


def gpu() -> str:
    """The name of the GPU that rows run on; empty if there is none."""
    return _in_a_process("gpu")


def _in_a_process(what: str) -> str:
    line = [sys.executable, "-m", "benchmarks.ceilings", what]
    return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    print(_gpu() if sys.argv[1] == "gpu" else CEILINGS[sys.argv[1]]())
