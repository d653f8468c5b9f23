"""Sequential float64 reference of the vision models' mixers in plain numpy, and their fixtures; see `reference_mixers`.

Written from what the projects' own modules compute (hustvl/Vim, MzeroMiko/VMamba, NVlabs/MambaVision):

    Vim           two scans with weights of their own; the second sees the reversed tokens. Both outputs are gated by
                  the same z, added in the order of the image and halved (`if_divide_out`, on in every released model).
    Vim's first   both scans read one causal convolution's output and share all weights but A; the sum is not halved.
    VMamba        one feature map (H, W) read by rows, by columns, and both backwards. The outputs go back to their
                  pixels and are added; then LayerNorm, the gate and out_proj.
    MambaVision   a convolution that looks both ways (padding "same"). dt_proj adds its bias, and the scan, which is
                  given the same bias, adds it again. The other half of in_proj has a convolution of its own and no
                  scan; it lies beside the scan's output in out_proj's input, and gates nothing.
"""

import numpy as np
from reference_mixers import Weights, causal_conv, draw, linear, mamba1_weights, normal_form_of, selective, silu

LAYER_NORM_EPS = 1e-5  # torch's own


def reference_vim(ahead: Weights, back: Weights, u: np.ndarray) -> dict[str, np.ndarray]:
    x, z = np.split(linear(ahead, u, "in_proj"), 2, axis=1)
    stages = [selective(causal_conv(ahead, x), ahead), selective(causal_conv(back, x[::-1]), back)]
    y = [s["scan"] + w["D"] * s["x"] for s, w in zip(stages, (ahead, back), strict=True)]
    return _stacked(stages) | {"out": linear(ahead, (y[0] + y[1][::-1]) * silu(z) / 2, "out_proj")}


def reference_vim_1(w: Weights, A_log_back: np.ndarray, u: np.ndarray) -> np.ndarray:
    """The output alone."""
    x, z = np.split(linear(w, u, "in_proj"), 2, axis=1)
    x = causal_conv(w, x)
    y = selective(x, w)["scan"] + selective(x[::-1], w | {"A_log": A_log_back})["scan"][::-1] + 2 * w["D"] * x
    return linear(w, y * silu(z), "out_proj")


def reference_vmamba(w: Weights, directions: list[Weights], u: np.ndarray) -> dict[str, np.ndarray]:
    """`u` (H, W, d); `w` holds what the four directions share."""
    H, W, _ = u.shape
    x, z = np.split(linear(w, u, "in_proj"), 2, axis=2)
    x = silu(_conv2d(w, x))
    pixels = np.arange(H * W).reshape(H, W)
    orders = [pixels.ravel(), pixels.T.ravel(), pixels.ravel()[::-1], pixels.T.ravel()[::-1]]
    flat = x.reshape(H * W, -1)
    stages = [selective(flat[order], own) for order, own in zip(orders, directions, strict=True)]
    merged = np.zeros_like(flat)
    for order, own, stage in zip(orders, directions, stages, strict=True):
        merged[order] += stage["scan"] + own["D"] * stage["x"]
    centred = merged - merged.mean(1, keepdims=True)
    normed = centred / np.sqrt(centred.var(1, keepdims=True) + LAYER_NORM_EPS)
    normed = normed * w["out_norm.weight"] + w["out_norm.bias"]
    return _stacked(stages) | {"out": linear(w, normed * silu(z.reshape(H * W, -1)), "out_proj")}


def reference_mamba_vision(w: Weights, u: np.ndarray) -> dict[str, np.ndarray]:
    x, z = np.split(linear(w, u, "in_proj"), 2, axis=1)
    x, z = (silu(_conv_both_ways(w[f"conv1d_{half}.weight"][:, 0], v)) for half, v in (("x", x), ("z", z)))
    stages = selective(x, w, scan_bias=w["dt_proj.bias"])
    y = stages["scan"] + w["D"] * x
    return stages | {"out": linear(w, np.concatenate([y, z], axis=1), "out_proj")}


def _stacked(stages: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Stages of several directions: x and scan per direction, the rest along the axis of groups."""
    per_direction = {key: np.array([stage[key] for stage in stages]) for key in ("x", "scan")}
    return per_direction | {key: np.concatenate([stage[key] for stage in stages]) for key in ("B", "C", "dt")}


def _conv_both_ways(kernel: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Depthwise convolution of v (L, C) with its middle tap at the token, padded with zeros at both ends."""
    k = kernel.shape[1]
    before = (k - 1) // 2
    padded = np.pad(v, ((before, k - 1 - before), (0, 0)))
    return sum(kernel[:, j] * padded[j : j + len(v)] for j in range(k))


def _conv2d(w: Weights, v: np.ndarray) -> np.ndarray:
    """Depthwise 3x3 convolution of v (H, W, C), padded with zeros at the edges."""
    kernel = w["conv2d.weight"][:, 0]
    H, W, _ = v.shape
    padded = np.pad(v, ((1, 1), (1, 1), (0, 0)))
    shifted = [(kernel[:, i, j], padded[i : i + H, j : j + W]) for i in range(3) for j in range(3)]
    return sum(tap * part for tap, part in shifted) + w["conv2d.bias"]


def vim_fixture(rng: np.random.Generator, tokens: int):
    """Two scans: forwards, and with its own weights over the reversed tokens.

    `first.out` is the output of the first version, which has A_b_log and none of the other tensors of the second scan.
    """
    names = [f"layers.{k}.mixer" for k in range(2)]
    tensors, golden = {"cls_token": draw(rng, 1, 1, 16)}, {"names": np.array(names)}
    for k, name in enumerate(names):
        ahead, back = mamba1_weights(rng, 16, 32, 4, 2), mamba1_weights(rng, 16, 32, 4, 2)
        tensors |= {f"{name}.{key}": value for key, value in ahead.items()}
        tensors[f"{name}.A_b_log"], tensors[f"{name}.D_b"] = back["A_log"], back["D"]
        for part in ("conv1d.weight", "conv1d.bias", "x_proj.weight", "dt_proj.weight", "dt_proj.bias"):
            module, value = part.split(".")
            tensors[f"{name}.{module}_b.{value}"] = back[part]
        golden |= normal_form_of(k, [ahead, back])
        if k == 0:
            u = rng.standard_normal((tokens, 16))
            golden |= {"u": u, "first.out": reference_vim_1(ahead, back["A_log"], u), **reference_vim(ahead, back, u)}
    return tensors, None, golden


def vmamba_fixture(rng: np.random.Generator, tokens: int):
    """SS2D over a feature map of 2 x 3 pixels; u in the golden arrays is (H, W, d)."""
    K, E, N, R, d = 4, 12, 3, 2, 8
    names = [f"layers.0.blocks.{k}.op" for k in range(2)]
    tensors, golden = {}, {"names": np.array(names)}
    for k, name in enumerate(names):
        directions = [mamba1_weights(rng, d, E, N, R) for _ in range(K)]
        shared = {"in_proj.weight": draw(rng, 2 * E, d), "out_proj.weight": draw(rng, d, E)}
        shared |= {"conv2d.weight": draw(rng, E, 1, 3, 3), "conv2d.bias": draw(rng, E)}
        shared |= {"out_norm.weight": draw(rng, E, mean=1.0), "out_norm.bias": draw(rng, E)}
        own = {"x_proj_weight": np.array([w["x_proj.weight"] for w in directions])}
        own |= {"dt_projs_weight": np.array([w["dt_proj.weight"] for w in directions])}
        own |= {"dt_projs_bias": np.array([w["dt_proj.bias"] for w in directions])}
        own |= {"A_logs": np.concatenate([w["A_log"] for w in directions])}
        own |= {"Ds": np.concatenate([w["D"] for w in directions])}
        tensors |= {f"{name}.{key}": value for key, value in (shared | own).items()}
        golden |= normal_form_of(k, directions)
        if k == 0:
            u = rng.standard_normal((2, 3, d))
            golden |= {"u": u, **reference_vmamba(shared, directions, u)}
    return tensors, None, golden


def mamba_vision_fixture(rng: np.random.Generator, tokens: int):
    """The scan sees half of in_proj's rows; the normal form's bias is twice the stored one."""
    d, E, N, R = 16, 16, 4, 2
    names = [f"levels.2.blocks.{k}.mixer" for k in range(2)]
    tensors, golden = {}, {"names": np.array(names)}
    for k, name in enumerate(names):
        w = mamba1_weights(rng, d, E, N, R)
        golden |= normal_form_of(k, [w])
        golden[f"{k}.dt_bias"] = 2 * golden[f"{k}.dt_bias"]
        stored = {key: value for key, value in w.items() if not key.startswith(("conv1d", "out_proj"))}
        stored |= {f"conv1d_{half}.weight": draw(rng, E, 1, 3) for half in "xz"}
        stored["out_proj.weight"] = draw(rng, d, 2 * E)
        tensors |= {f"{name}.{key}": value for key, value in stored.items()}
        if k == 0:
            u = rng.standard_normal((tokens, d))
            golden |= {"u": u, **reference_mamba_vision(stored, u)}
    return tensors, {"model_type": "mambavision", "dim": d, "depths": [1, 1, 2, 1]}, golden
