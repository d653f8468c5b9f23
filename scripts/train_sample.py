"""Train the bundled sample: a small byte-level Mamba language model, on the Python standard library's own sources.

    python scripts/train_sample.py --out mamba_dynamics/sample --cores 2     # the bundled model, half an hour
    python scripts/train_sample.py --out /some/folder --steps 20             # a quick try

The text is on every machine that runs Python, so nothing is downloaded: every `.py` file of the standard
library but tests and tables, in sorted order, each closed by a zero byte. Every 20th file is held out. Tokens
are bytes. Needs the `train` extra (optax). Progress goes to stderr; the last thing printed, on stdout, is one JSON
document with the measured figures. `--out` receives `config.json` and `model.safetensors` in Hugging Face's
`mamba` layout, so that `transformers.MambaForCausalLM.from_pretrained` reads them too.

The same seed, Python, JAX, machine and number of cores give the same weights, byte for byte. On Linux,
`GLIBC_TUNABLES=glibc.malloc.hugetlb=1` in the environment makes a gradient a seventh faster (measured: 350 ms after
410 ms): its temporary memory is mapped anew every time, and large pages make that cheap.

Symbols and axes (time comes first everywhere, because the scan runs over the leading axis):

    L, B           window length, batch           u   (L, B, d)  normed residual stream
    d, E           hidden size, inner size        x,z (L, B, E)  the mixer's signal and gate
    N, R, k        states, dt rank, conv width    Bt, Ct (L, B, N), dt (L, B, E)   projections of x; dt > 0
    a = exp(A_log) (E, N)   decay rates           h   (B, N, E)  the state; E is last so that it fills vector lanes

Model: A. Gu and T. Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.
"""

import argparse
import json
import math
import os
import platform
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int
from numpy.typing import NDArray
from safetensors.numpy import save as to_safetensors

VOCABULARY = 256
EXPAND, STATES, CONV = 2, 16, 4
NORM_EPS = 1e-5
DT_MIN, DT_MAX = 1e-3, 0.1

#: Folders left out of the text: installed packages, tests, generated tables, GUI programs, a frozen copy.
NOT_TEXT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data", "__phello__"}
HELD_OUT_EVERY = 20

Params = dict[str, Float[Array, "..."]]
Bytes = NDArray[np.uint8]


# ---------------------------------------------------------------------------------------------------- the text


def standard_library_files(root: Path | None = None) -> list[Path]:
    """The `.py` files below the standard library's folder that count as text, sorted by their path inside it."""
    root = Path(sysconfig.get_path("stdlib")) if root is None else root
    inside = sorted(path.relative_to(root) for path in root.rglob("*.py"))
    return [root / path for path in inside if not NOT_TEXT.intersection(path.parts)]


def read_text(files: Sequence[Path]) -> Bytes:
    """The files one after the other, each closed by a zero byte (which Python sources cannot contain)."""
    return np.frombuffer(b"".join(path.read_bytes() + b"\0" for path in files), np.uint8)


def load_split() -> tuple[Bytes, Bytes]:
    """Training and held-out text; files are held out whole, so no function is seen in part."""
    files = standard_library_files()
    held_out = files[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    return read_text(sorted(set(files) - set(held_out))), read_text(held_out)


def random_batches(text: Bytes, window: int, batch: int, seed: int) -> Iterator[Int[np.ndarray, "L+1 B"]]:
    """Endless batches of windows at uniformly drawn places, one byte longer than `window` to hold the targets."""
    rng = np.random.default_rng(seed)
    offsets = np.arange(window + 1)[:, None]
    while True:
        yield text[offsets + rng.integers(0, text.size - window, batch)].astype(np.int32)


def consecutive_windows(text: Bytes, window: int) -> Int[np.ndarray, "L+1 W"]:
    """The text cut into windows that share one byte, so that every byte but the first is a target once."""
    starts = np.arange(0, text.size - window, window)
    return text[np.arange(window + 1)[:, None] + starts].astype(np.int32)


def bigram_bits_per_byte(training: Bytes, held_out: Bytes) -> float:
    """Held-out cost of the add-one-smoothed byte-bigram model, the baseline the sample has to beat."""

    def counts(text: Bytes) -> NDArray[np.int64]:
        pairs = text[:-1].astype(np.int64) * VOCABULARY + text[1:]
        return np.bincount(pairs, minlength=VOCABULARY**2).reshape(VOCABULARY, VOCABULARY)

    seen = counts(training) + 1
    bits = -np.log2(seen / seen.sum(axis=1, keepdims=True))
    return float((counts(held_out) * bits).sum() / (held_out.size - 1))


# --------------------------------------------------------------------------------------------------- the model


@dataclass(frozen=True)
class Sizes:
    """The model's free sizes; the others follow as in the reference implementation."""

    width: int
    layers: int

    @property
    def inner(self) -> int:
        return EXPAND * self.width

    @property
    def dt_rank(self) -> int:
        return math.ceil(self.width / 16)

    def config(self) -> dict[str, object]:
        """The `config.json` that Hugging Face's `mamba` architecture expects."""
        return {
            "architectures": ["MambaForCausalLM"],
            "model_type": "mamba",
            "vocab_size": VOCABULARY,
            "hidden_size": self.width,
            "intermediate_size": self.inner,
            "num_hidden_layers": self.layers,
            "state_size": STATES,
            "time_step_rank": self.dt_rank,
            "conv_kernel": CONV,
            "expand": EXPAND,
            "hidden_act": "silu",
            "use_bias": False,
            "use_conv_bias": True,
            "rms_norm": True,
            "layer_norm_epsilon": NORM_EPS,
            "residual_in_fp32": True,
            "tie_word_embeddings": True,
            "time_step_min": DT_MIN,
            "time_step_max": DT_MAX,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
            "torch_dtype": "float32",
        }


def mixer_parameters(sizes: Sizes, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One mixer at the start of training, initialised as in the reference implementation."""
    E, R = sizes.inner, sizes.dt_rank

    def uniform(*shape: int, bound: float) -> np.ndarray:
        return rng.uniform(-bound, bound, shape)

    dt = np.exp(rng.uniform(math.log(DT_MIN), math.log(DT_MAX), E))
    return {
        "in_proj.weight": uniform(2 * E, sizes.width, bound=sizes.width**-0.5),
        "conv1d.weight": uniform(E, 1, CONV, bound=CONV**-0.5),
        "conv1d.bias": np.zeros(E),
        "x_proj.weight": uniform(R + 2 * STATES, E, bound=E**-0.5),
        "dt_proj.weight": uniform(E, R, bound=R**-0.5),
        "dt_proj.bias": dt + np.log(-np.expm1(-dt)),  # the inverse of softplus
        "A_log": np.log(np.broadcast_to(np.arange(1.0, STATES + 1), (E, STATES))),
        "D": np.ones(E),
        # Each layer adds to the residual stream: smaller steps for deeper stacks keep its scale.
        "out_proj.weight": uniform(sizes.width, E, bound=(E * sizes.layers) ** -0.5),
    }


def initial_parameters(sizes: Sizes, seed: int) -> Params:
    """All weights in float32, under the names they have in the checkpoint."""
    rng = np.random.default_rng(seed)
    params = {
        "backbone.embeddings.weight": 0.02 * rng.standard_normal((VOCABULARY, sizes.width)),
        "backbone.norm_f.weight": np.ones(sizes.width),
    }
    for i in range(sizes.layers):
        params[f"backbone.layers.{i}.norm.weight"] = np.ones(sizes.width)
        for name, value in mixer_parameters(sizes, rng).items():
            params[f"backbone.layers.{i}.mixer.{name}"] = value
    return {name: jnp.asarray(value, jnp.float32) for name, value in params.items()}


def rms_norm(u: Float[Array, "L B d"], weight: Float[Array, " d"]) -> Float[Array, "L B d"]:
    return weight * u * jax.lax.rsqrt(jnp.mean(u * u, axis=-1, keepdims=True) + NORM_EPS)


def causal_conv(x: Float[Array, "L B E"], weight: Float[Array, "E 1 k"], bias: Float[Array, " E"]) -> Array:
    """Each channel's own filter over the last k times; the last tap weighs the present."""
    length, width = x.shape[0], weight.shape[-1]
    padded = jnp.pad(x, ((width - 1, 0), (0, 0), (0, 0)))
    return bias + sum(weight[:, 0, j] * padded[j : j + length] for j in range(width))


def selective_scan(
    x: Float[Array, "L B E"],
    dt: Float[Array, "L B E"],
    a: Float[Array, "E N"],
    Bt: Float[Array, "L B N"],
    Ct: Float[Array, "L B N"],
) -> Float[Array, "L B E"]:
    """h' = exp(-a dt) h + dt Bt x, y = Ct . h': zero-order hold on A, Euler on B."""
    rates = a.T

    # Recomputing the exponentials backwards costs less than reading them back from memory.
    @partial(jax.checkpoint, prevent_cse=False)
    def step(h, now):
        dt_x, dt, b, c = now
        h = jnp.exp(-dt[:, None, :] * rates) * h + dt_x[:, None, :] * b[:, :, None]
        return h, jnp.sum(h * c[:, :, None], axis=1)

    h0 = jnp.zeros((x.shape[1], a.shape[1], a.shape[0]), x.dtype)
    return jax.lax.scan(step, h0, (dt * x, dt, Bt, Ct))[1]


def mixer(p: Callable[[str], Array], u: Float[Array, "L B d"]) -> Float[Array, "L B d"]:
    """The Mamba mixer; `p` looks a weight up by its name inside the mixer."""
    x, z = jnp.split(u @ p("in_proj.weight").T, 2, axis=-1)
    x = jax.nn.silu(causal_conv(x, p("conv1d.weight"), p("conv1d.bias")))
    rank = p("dt_proj.weight").shape[1]
    low_rank, Bt, Ct = jnp.split(x @ p("x_proj.weight").T, [rank, rank + STATES], axis=-1)
    dt = jax.nn.softplus(low_rank @ p("dt_proj.weight").T + p("dt_proj.bias"))
    y = selective_scan(x, dt, jnp.exp(p("A_log")), Bt, Ct) + p("D") * x
    return (y * jax.nn.silu(z)) @ p("out_proj.weight").T


def forward(params: Params, tokens: Int[Array, "L B"]) -> Float[Array, "L B V"]:
    """Logits of the next byte after each byte."""
    embeddings = params["backbone.embeddings.weight"]
    layers = sum(name.endswith(".A_log") for name in params)
    residual = embeddings[tokens]
    for i in range(layers):
        prefix = f"backbone.layers.{i}."
        u = rms_norm(residual, params[prefix + "norm.weight"])
        residual += mixer(lambda name, prefix=prefix: params[f"{prefix}mixer.{name}"], u)
    return rms_norm(residual, params["backbone.norm_f.weight"]) @ embeddings.T


def cross_entropy(params: Params, windows: Int[Array, "L+1 B"]) -> Float[Array, ""]:
    """Mean cost, in nats, of each byte of the windows but their first."""
    logits = forward(params, windows[:-1])
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, windows[1:]))


def bits_per_byte(params: Params, windows: Int[np.ndarray, "L+1 W"], batch: int = 64) -> float:
    """Mean cost in bits over all windows, `batch` of them at a time."""
    cost, total = jax.jit(cross_entropy), 0.0
    for start in range(0, windows.shape[1], batch):
        part = windows[:, start : start + batch]
        total += float(cost(params, part)) * part.shape[1]
    return total / windows.shape[1] / math.log(2)


# ------------------------------------------------------------------------------------------------ the training


def optimiser(steps: int, peak: float, decay: float) -> optax.GradientTransformation:
    """AdamW with clipping, a linear warm-up and a cosine to a hundredth; only matrices decay, and not A_log."""
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, max(1, min(200, steps // 10)), steps, peak / 100)

    def decays(params: Params) -> dict[str, bool]:
        return {name: value.ndim > 1 and not name.endswith("A_log") for name, value in params.items()}

    adamw = optax.adamw(schedule, b1=0.9, b2=0.95, weight_decay=decay, mask=decays)
    return optax.chain(optax.clip_by_global_norm(1.0), adamw)


def write_atomically(path: Path, content: bytes) -> None:
    """A reader finds the old file or the new one, never a part of one."""
    partial_file = path.with_name(path.name + ".partial")
    partial_file.write_bytes(content)
    os.replace(partial_file, path)


def save_checkpoint(out: Path, sizes: Sizes, params: Params) -> None:
    """`config.json` and `model.safetensors`."""
    out.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.asarray(value) for name, value in params.items()}
    write_atomically(out / "config.json", (json.dumps(sizes.config(), indent=2) + "\n").encode())
    # Transformers wants the format named. A second entry would be written in an order that changes from run to run.
    write_atomically(out / "model.safetensors", to_safetensors(arrays, {"format": "pt"}))


def over_all_devices() -> Callable[[np.ndarray], Array]:
    """Puts windows on the devices, a share of the batch on each; JAX then splits the whole step by itself."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("batch",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(None, "batch"))
    return lambda windows: jax.device_put(windows, sharding)


def train(args: argparse.Namespace, sizes: Sizes, training: Bytes, held_out: Bytes) -> Params:
    """Train, reporting and saving every `args.save_every` steps; returns the last weights."""
    params, optimise = initial_parameters(sizes, args.seed), optimiser(args.steps, args.learning_rate, args.decay)
    state = optimise.init(params)
    probe = consecutive_windows(held_out, args.window)
    probe = probe[:, :: max(1, probe.shape[1] // 128)]

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(params, state, windows):
        loss, gradient = jax.value_and_grad(cross_entropy)(params, windows)
        change, state = optimise.update(gradient, state, params)
        return optax.apply_updates(params, change), state, loss

    batches, place = random_batches(training, args.window, args.batch, args.seed), over_all_devices()
    began, losses = time.perf_counter(), []
    for step in range(1, args.steps + 1):
        params, state, loss = update(params, state, place(next(batches)))
        losses.append(loss)
        if step % args.report_every == 0 or step == args.steps:
            report_progress(step, args, float(np.mean(losses)), time.perf_counter() - began)
            losses = []
        if step % args.save_every == 0 or step == args.steps:
            probed = bits_per_byte(params, probe)
            say(f"step {step}: {probed:.3f} bits per byte on a sample of the held-out text")
            save_checkpoint(args.out, sizes, params)
    return params


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def report_progress(step: int, args: argparse.Namespace, loss: float, seconds: float) -> None:
    rate = step * args.batch * args.window / seconds
    left = seconds / step * (args.steps - step)
    bits = loss / math.log(2)
    say(f"step {step}/{args.steps}: {bits:.3f} bits per byte, {rate:,.0f} bytes/s, {left / 60:.1f} min left")


def whole_number(text: str, least: int = 1) -> int:
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"should be a whole number from {least} up, found {text!r}")
    return int(text)


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = partial(parser.add_argument, metavar="N", type=whole_number)
    parser.add_argument("--out", type=Path, required=True, help="folder that receives the checkpoint")
    add("--steps", default=3600, help="updates (default %(default)s)")
    add("--width", default=96, help="hidden size (default %(default)s)")
    add("--layers", default=4, help="Mamba blocks (default %(default)s)")
    add("--window", default=256, help="bytes predicted per window (default %(default)s)")
    add("--batch", default=16, help="windows per update (default %(default)s)")
    add(
        "--seed",
        default=0,
        type=partial(whole_number, least=0),
        help="of the weights and of the batches (default %(default)s)",
    )
    add("--cores", default=1, help="CPU cores to share a batch among; must divide it (default %(default)s)")
    add("--report-every", default=50, help="updates between lines of progress (default %(default)s)")
    add("--save-every", default=500, help="updates between checkpoints (default %(default)s)")
    parser.add_argument("--learning-rate", type=float, default=6e-3, help="at its peak (default %(default)s)")
    parser.add_argument("--decay", type=float, default=0.1, help="weight decay (default %(default)s)")
    args = parser.parse_args(argv)
    if args.batch % args.cores:
        parser.error(f"--batch should be a multiple of --cores, found {args.batch} and {args.cores}; change either")
    return args


def main(argv: Sequence[str] | None = None) -> None:
    args = arguments(argv)
    # A GPU would round products to 11 bits and add up gradients in no fixed order: the sample would not repeat.
    jax.config.update("jax_platforms", "cpu")
    if args.cores > 1:
        jax.config.update("jax_num_cpu_devices", args.cores)
    sizes = Sizes(args.width, args.layers)
    training, held_out = load_split()
    began = time.perf_counter()
    params = train(args, sizes, training, held_out)
    figures = {
        "held_out_bits_per_byte": bits_per_byte(params, consecutive_windows(held_out, args.window)),
        "bigram_bits_per_byte": bigram_bits_per_byte(training, held_out),
        "training_bytes": training.size,
        "held_out_bytes": held_out.size,
        "bytes_read": args.steps * args.batch * args.window,
        "parameters": sum(value.size for value in params.values()),
        "file_bytes": (args.out / "model.safetensors").stat().st_size,
        "seconds": round(time.perf_counter() - began, 1),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    print(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
