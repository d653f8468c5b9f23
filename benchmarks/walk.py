"""How long a walk through the layers of a checkpoint takes, beside the forward pass of `transformers`.

    python -m benchmarks.walk [--rounds 3] [--tokens 512] [--layers 24] [--threads N] [--json]

Run from the repository's root; needs torch and transformers beside the package. A random checkpoint of mamba-130m's
shape (float32, 517 MB, `scripts/make_shaped_checkpoint.py --dense`) goes into a temporary folder, then each side runs
in processes of its own, in turn, on the same number of cores:

    transformers   MambaModel, output_hidden_states=True, no gradients, no cache, its plain torch path
    ours           for visit in walk(open_checkpoint(folder), ids): ...

Every process calls twice: the first call warms up (and compiles, on our side), the second is the time of the ratio.
Imports and `open` are timed apart. `open` reads all weights in transformers and only the header in ours, where every
walk opens the file anew and reads the weights as it goes, so our calls include reading (the file is in the page cache);
the second ratio, of `open` and the first call together, counts reading on both sides. The peak is that of resident
memory in the whole process, pages mapped from the file included; the last process of all walks only once. The run
fails, with exit code 1, if the residual streams after the last layer differ by more than 1e-4 of their largest entry.

Run it on an idle machine: torch's threads wait for each other, so a neighbour busy on one of two cores made its warm
call 2.7 times slower. The processor seconds of that call (`cpu`) show it: they were 0.85 of seconds times threads on
the idle machine, and half beside the neighbour. `--threads 1` is steady as long as one core stays free.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("transformers", "ours")
#: Largest difference of the final states, relative to their largest entry: two float32 passes through 24 layers.
TOLERANCE = 1e-4

Walk = Callable[[], np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.walk", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=positive, default=3, help="processes of each side")
    parser.add_argument("--tokens", type=positive, default=512)
    parser.add_argument("--layers", type=positive, default=24)
    parser.add_argument("--threads", type=positive, default=len(_cores()), help="cores of each process (default: all)")
    parser.add_argument("--only", choices=SIDES, help="run one side alone, without a ratio")
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--child", nargs=3, metavar=("SIDE", "FOLDER", "CALLS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        side, folder, calls = given.child
        print(json.dumps(measure(side, Path(folder), given.tokens, given.threads, int(calls))))
        return
    found = compare(given.rounds, given.tokens, given.layers, given.threads, (given.only,) if given.only else SIDES)
    print(json.dumps(found) if given.json else table(found))
    if not found.get("difference", 0.0) <= TOLERANCE:  # not a number fails too
        raise SystemExit(f"the final states differ by {found['difference']:.1e} of their largest entry")


def positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise ValueError
    return value


# ------------------------------------------------------------------------------------------- the measured processes


def measure(side: str, folder: Path, tokens: int, threads: int, calls: int) -> dict[str, float]:
    """Seconds and peak bytes of this process, which must be a fresh one; leaves the final states in `folder`."""
    if hasattr(os, "sched_setaffinity"):  # the thread pools of both sides take their size from it
        os.sched_setaffinity(0, _cores()[:threads])
    vocabulary = json.loads((folder / "config.json").read_text())["vocab_size"]
    ids = np.random.default_rng(0).integers(vocabulary, size=tokens)
    prepare = {"transformers": prepare_transformers, "ours": prepare_ours}[side]
    walk, times = prepare(folder, ids, threads)
    for name in ("first", "warm")[:calls]:
        start, used = time.perf_counter(), time.process_time()
        final = walk()
        times |= {name: time.perf_counter() - start, f"{name}_cpu": time.process_time() - used}
    np.save(folder / f"{side}.npy", final)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return times | {"peak": peak * (1 if sys.platform == "darwin" else 1024)}


def prepare_transformers(folder: Path, ids: np.ndarray, threads: int) -> tuple[Walk, dict[str, float]]:
    start = time.perf_counter()
    import torch
    from transformers import MambaModel

    imported = time.perf_counter()
    torch.set_num_threads(threads)
    model = MambaModel.from_pretrained(folder, dtype=torch.float32).eval()
    opened = time.perf_counter()
    # What enters the final norm: which of `hidden_states` that is has changed between versions of transformers.
    final: list[torch.Tensor] = []
    model.norm_f.register_forward_pre_hook(lambda _, given: final.append(given[0][0]))

    def walk() -> np.ndarray:
        with torch.no_grad():
            output = model(torch.tensor(ids[None]), output_hidden_states=True, use_cache=False)
        assert len(output.hidden_states) == len(model.layers) + 1
        return final.pop().numpy()

    return walk, {"import": imported - start, "open": opened - imported}


def prepare_ours(folder: Path, ids: np.ndarray, threads: int) -> tuple[Walk, dict[str, float]]:
    start = time.perf_counter()
    from mamba_dynamics import open_checkpoint, walk

    imported = time.perf_counter()
    open_checkpoint(folder)
    opened = time.perf_counter()

    def once() -> np.ndarray:
        for visit in walk(open_checkpoint(folder), ids):
            final = visit.after
        return np.asarray(final)  # waits for every layer

    return once, {"import": imported - start, "open": opened - imported}


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


# ------------------------------------------------------------------------------------------------- the comparison


def compare(rounds: int, tokens: int, layers: int, threads: int, sides: tuple[str, ...]) -> dict:
    """Every side once per round, in turn; see `table` for the keys. Seconds and bytes."""
    found = {"tokens": tokens, "layers": layers, "threads": threads, "rounds": []}
    with tempfile.TemporaryDirectory(prefix="walk-") as temporary:
        folder = Path(temporary)
        # In its own process too: Linux starts a child's peak at its parent's, so this one has to stay small.
        generator = ROOT / "scripts" / "make_shaped_checkpoint.py"
        run([sys.executable, str(generator), temporary, "--dense", "--layers", str(layers)], "the checkpoint")
        child = [sys.executable, "-m", "benchmarks.walk", "--tokens", str(tokens), "--threads", str(threads), "--child"]
        differences = []
        for k in range(rounds):
            one = {side: json.loads(run([*child, side, temporary, "2"], side)) for side in sides}
            found["rounds"].append(one)
            print(f"round {k + 1}: " + ", ".join(f"{s} {t['warm']:.2f} s" for s, t in one.items()), file=sys.stderr)
            if len(sides) == 2:
                ours, theirs = (np.load(folder / f"{side}.npy") for side in ("ours", "transformers"))
                differences.append(float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
        if "ours" in sides:
            found["ours_once"] = json.loads(run([*child, "ours", temporary, "1"], "ours"))
    if len(sides) == 2:
        found["difference"] = float(np.max(differences))
        found["ratio"] = ratios(found["rounds"], "warm")
        found["ratio_with_open"] = ratios(found["rounds"], "open", "first")
    return found


def run(command: list[str], what: str) -> str:
    """The last line the command prints; its last words, if it fails."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{what} failed: {(done.stderr.strip() or 'no message').splitlines()[-1]}")
    return (done.stdout.strip().splitlines() or [""])[-1]


def ratios(rounds: list[dict[str, dict[str, float]]], *parts: str) -> dict[str, float]:
    """Ours over transformers, for the sum of these times, round by round."""
    ours, theirs = ([sum(one[side][part] for part in parts) for one in rounds] for side in ("ours", "transformers"))
    return spread([a / b for a, b in zip(ours, theirs, strict=True)])


def spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def table(found: dict) -> str:
    """Medians over the rounds, the warm call with its range, and the largest peak."""
    size = (
        f"{found['layers']} layers, {found['tokens']} tokens, {found['threads']} threads, {len(found['rounds'])} rounds"
    )
    lines = [f"mamba-130m's shape: {size}; seconds", ""]
    lines += [f"{'':16}{'import':>8}{'open':>8}{'first':>8}{'warm':>8}{'(range)':>18}{'cpu':>8}{'peak MiB':>10}"]
    for side in [side for side in SIDES if side in found["rounds"][0]]:
        runs = [one[side] for one in found["rounds"]]
        cells = "".join(
            f"{statistics.median([r[key] for r in runs]):8.2f}" for key in ("import", "open", "first", "warm")
        )
        warm = spread([r["warm"] for r in runs])
        extent = f"({warm['min']:.2f} to {warm['max']:.2f})"
        cpu = statistics.median([r["warm_cpu"] for r in runs])
        lines.append(f"{side:16}{cells}{extent:>18}{cpu:8.2f}{max(r['peak'] for r in runs) / 2**20:10.0f}")
    if once := found.get("ours_once"):
        cells = "".join(f"{once[key]:8.2f}" for key in ("import", "open", "first"))
        lines.append(f"{'ours, one walk':16}{cells}{'':34}{once['peak'] / 2**20:10.0f}")
    names = {"ratio": "warm call", "ratio_with_open": "open and first call"}
    for key in [key for key in names if key in found]:
        r = found[key]
        extent = f"{r['median']:.3f} ({r['min']:.3f} to {r['max']:.3f})"
        lines += ["", f"ours / transformers, {names[key]}: {extent}"]
    if "difference" in found:
        lines += ["", f"final states differ by {found['difference']:.1e} of their largest entry"]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
