"""The S6 scan forward and backward: ours, plain autodiff of the same scan, and an associative scan, in one run.

python -m benchmarks.scan_gradient                      # 1024 tokens, 1536 channels, 16 states, float32
python -m benchmarks.scan_gradient --rounds 9 --tokens 512

The three take turns, so that a busy machine slows all of them; printed are each one's ratio to ours (median and range
over the rounds), the memory each needs between the passes, and how far the gradients are apart.
"""

import argparse
import time

import jax
import jax.numpy as jnp
import numpy as np

from mamba_dynamics._selective_scan import selective_scan, trainable_scan


def associative(x, delta, a, B, C):
    """The recurrence by `jax.lax.associative_scan`: parallel in the tokens, all states in memory at once."""

    def after(first, second):
        return first[0] * second[0], second[0] * first[1] + second[1]

    decays = jnp.exp(-delta[:, :, None] * a)
    states = jax.lax.associative_scan(after, (decays, (delta * x)[:, :, None] * B[:, None, :]))[1]
    return jnp.einsum("ldn,ln->ld", states, C)


SCANS = {"ours": trainable_scan, "autodiff of lax.scan": selective_scan, "associative_scan": associative}


def inputs(tokens: int, channels: int, states: int):
    rng = np.random.default_rng(0)
    shapes = ((tokens, channels), (tokens, channels), (channels, states), (tokens, states), (tokens, states))
    x, delta, a, B, C = (jnp.asarray(rng.standard_normal(shape), jnp.float32) for shape in shapes)
    # Step sizes and rates as trained layers have them: around 0.05, and 1 to 10.
    return x, jax.nn.softplus(delta - 3), jnp.exp(1 + 0.5 * a), B, C


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, default=1024)
    parser.add_argument("--channels", type=int, default=1536)
    parser.add_argument("--states", type=int, default=16)
    options = parser.parse_args()
    args = inputs(options.tokens, options.channels, options.states)
    weights = jnp.asarray(np.random.default_rng(1).standard_normal(args[0].shape), jnp.float32)
    compiled = {}
    for name, scan in SCANS.items():
        loss = jax.value_and_grad(lambda *a, scan=scan: jnp.sum(scan(*a) * weights), argnums=(0, 1, 2, 3, 4))
        compiled[name] = jax.jit(loss).lower(*args).compile()
    found = {name: jax.block_until_ready(run(*args))[1] for name, run in compiled.items()}
    seconds: dict[str, list[float]] = {name: [] for name in SCANS}
    for _ in range(options.rounds):
        for name, run in compiled.items():
            began = time.perf_counter()
            jax.block_until_ready(run(*args))
            seconds[name].append(time.perf_counter() - began)
    for name in SCANS:
        ratios = np.divide(seconds[name], seconds["ours"])
        apart = max(
            float(jnp.abs(one - ours).max() / jnp.abs(ours).max())
            for one, ours in zip(found[name], found["ours"], strict=True)
        )
        memory = compiled[name].memory_analysis().temp_size_in_bytes / 2**20
        print(
            f"{name:22} {np.median(ratios):6.2f} x ours ({ratios.min():.2f} to {ratios.max():.2f}), "
            f"{memory:7.0f} MiB, gradients apart by {apart:.0e} of the largest"
        )


if __name__ == "__main__":
    main()
