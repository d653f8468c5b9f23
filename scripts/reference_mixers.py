"""Sequential float64 reference of every mixer, in plain numpy: the oracle behind the fixtures.

Written from the equations (theory section 1, and the layouts of the reference implementations),
one token after another, without chunks, kernels or caches. `weights` maps a mixer's parameter
names to arrays; u is the mixer's input (L, d). Mixers of vision models are in `reference_vision`.
"""

import numpy as np

Weights = dict[str, np.ndarray]


def silu(v: np.ndarray) -> np.ndarray:
    return v / (1 + np.exp(-v))


def softplus(v: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, v)


def causal_conv(weights: Weights, v: np.ndarray, name: str = "conv1d") -> np.ndarray:
    """Depthwise convolution of v (L, C) that sees the present and earlier tokens, then SiLU."""
    kernel = weights[f"{name}.weight"][:, 0]
    k = kernel.shape[1]
    padded = np.concatenate([np.zeros((k - 1, v.shape[1])), v])
    out = sum(kernel[:, j] * padded[j : j + len(v)] for j in range(k))
    return silu(out + weights.get(f"{name}.bias", 0.0))


def linear(weights: Weights, v: np.ndarray, name: str) -> np.ndarray:
    return v @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def rms(v: np.ndarray, eps: float, weight: np.ndarray | float = 1.0) -> np.ndarray:
    return weight * v / np.sqrt((v**2).mean(-1, keepdims=True) + eps)


def scan(x: np.ndarray, dt: np.ndarray, A: np.ndarray, B: np.ndarray, C: np.ndarray) -> np.ndarray:
    """h_l = exp(dt A) h_{l-1} + dt B_l x_l, y_l = C_l h_l. x, dt (L, D); A (D, N); B, C (L, N)."""
    h, y = np.zeros(A.shape), []
    for x_l, dt_l, B_l, C_l in zip(x, dt, B, C, strict=True):
        h = np.exp(dt_l[:, None] * A) * h + dt_l[:, None] * B_l * x_l[:, None]
        y.append(h @ C_l)
    return np.array(y)


def selective(
    x: np.ndarray, w: Weights, norm_eps: float | None = None, scan_bias: np.ndarray | float = 0.0
) -> dict[str, np.ndarray]:
    """The S6 part of Mamba-1 from its own input x (L, E); one group.

    `scan_bias` is what the scan adds to the raw step sizes beyond the bias of dt_proj.
    """
    R, N = w["dt_proj.weight"].shape[1], w["A_log"].shape[1]
    dt, B, C = np.split(x @ w["x_proj.weight"].T, [R, R + N], axis=1)
    if norm_eps is not None:
        dt = rms(dt, norm_eps, w.get("dt_layernorm.weight", 1.0))
        B = rms(B, norm_eps, w.get("b_layernorm.weight", 1.0))
        C = rms(C, norm_eps, w.get("c_layernorm.weight", 1.0))
    dt = softplus(linear(w, dt, "dt_proj") + scan_bias)
    return {"x": x, "B": B[None], "C": C[None], "dt": dt[None], "scan": scan(x, dt, -np.exp(w["A_log"]), B, C)}


def reference_mamba1(w: Weights, u: np.ndarray, norm_eps: float | None = None) -> dict[str, np.ndarray]:
    x, z = np.split(linear(w, u, "in_proj"), 2, axis=1)
    stages = selective(causal_conv(w, x), w, norm_eps)
    gated = (stages["scan"] + w["D"] * stages["x"]) * silu(z)
    return stages | {"out": linear(w, gated, "out_proj")}


def reference_zamba(w: Weights, u: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of in_proj alternate between x and z; every head runs Mamba-1 on its own channels."""
    xz = linear(w, u, "in_proj")
    x, z = causal_conv(w, xz[:, 0::2]), xz[:, 1::2]
    H = w["A_log"].shape[0]
    heads = []
    for k, x_k in enumerate(np.split(x, H, axis=1)):
        own = {"x_proj.weight": w["x_proj_weight"][k], "A_log": w["A_log"][k]}
        own |= {"dt_proj.weight": w["dt_proj_weight"][k], "dt_proj.bias": w["dt_proj_bias"][k]}
        heads.append(selective(x_k, own))
    stages = {key: np.concatenate([head[key] for head in heads]) for key in ("B", "C", "dt")}
    y = np.concatenate([head["scan"] for head in heads], axis=1)
    gated = (y + w["D"].reshape(-1) * x) * silu(z)
    return stages | {"x": x, "scan": y, "out": linear(w, gated, "out_proj")}


def reference_mamba2(
    w: Weights,
    u: np.ndarray,
    *,
    groups: int,
    norm_eps: float | None,
    input_factor: float = 1.0,
    row_factors: list[float] | None = None,
    dt_limit: tuple[float, float] = (0.0, np.inf),
    branch: int = 0,
) -> dict[str, np.ndarray]:
    """in_proj rows [z0 | x0 | z | x | B | C | dt], the first two of width `branch` (0 in most models)."""
    H, L = w["A_log"].size, len(u)
    E = w["out_proj.weight"].shape[1] - branch
    GN = (w["in_proj.weight"].shape[0] - 2 * branch - 2 * E - H) // 2
    rows = np.split(linear(w, input_factor * u, "in_proj"), np.cumsum([branch, branch, E, E, GN, GN]), axis=1)
    z0, x0 = rows[:2]
    z, x, B, C, dt = (f * part for f, part in zip(row_factors or [1.0] * 5, rows[2:], strict=True))
    conv = causal_conv(w, np.concatenate([x, B, C], axis=1))
    x, B, C = np.split(conv, [E, E + GN], axis=1)
    dt = np.clip(softplus(dt + w["dt_bias"]), *dt_limit)
    B, C = (v.reshape(L, groups, -1) for v in (B, C))
    P, y = E // H, []
    for h in range(H):
        g = h // (H // groups)
        A = np.full((P, B.shape[2]), -np.exp(w["A_log"][h]))
        y.append(scan(x[:, h * P : (h + 1) * P], np.repeat(dt[:, h : h + 1], P, axis=1), A, B[:, g], C[:, g]))
    y = np.concatenate(y, axis=1)
    D = w["D"] if w["D"].size == E else np.repeat(w["D"], P)
    gated = (y + D * x) * silu(z)
    if norm_eps is not None:
        gated = rms(gated.reshape(L, groups, -1), norm_eps).reshape(L, E) * w["norm.weight"]
    out = linear(w, np.concatenate([silu(z0) * x0, gated], axis=1), "out_proj")
    stages = {"B": B.transpose(1, 0, 2), "C": C.transpose(1, 0, 2), "dt": dt.reshape(L, groups, -1).transpose(1, 0, 2)}
    return stages | {"x": x, "scan": y, "out": out}


def draw(rng: np.random.Generator, *shape: int, mean: float = 0.0) -> np.ndarray:
    """Float32 values (what the file will hold), scaled as a projection's weights."""
    return np.float32(mean + rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(float)


def mamba1_weights(rng: np.random.Generator, d: int, E: int, N: int, R: int) -> Weights:
    w = {"in_proj.weight": draw(rng, 2 * E, d), "conv1d.weight": draw(rng, E, 1, 4)}
    w |= {"conv1d.bias": draw(rng, E), "x_proj.weight": draw(rng, R + 2 * N, E)}
    w |= {"dt_proj.weight": draw(rng, E, R), "dt_proj.bias": draw(rng, E, 1, mean=-0.5)[:, 0]}
    w |= {"A_log": draw(rng, E, N), "D": draw(rng, E, mean=1.0), "out_proj.weight": draw(rng, d, E)}
    return w


def normal_form_of(k: int, groups: list[Weights]) -> dict[str, np.ndarray]:
    """Normal form of one layer from the weights of its groups (Mamba-1 in each)."""
    R, N = groups[0]["dt_proj.weight"].shape[1], groups[0]["A_log"].shape[-1]
    parts = {
        "S_B": [w["x_proj.weight"][R : R + N] for w in groups],
        "S_C": [w["x_proj.weight"][R + N :] for w in groups],
        "S_Delta": [w["dt_proj.weight"] @ w["x_proj.weight"][:R] for w in groups],
        "dt_bias": [w["dt_proj.bias"] for w in groups],
        "a": [np.exp(w["A_log"]) for w in groups],
        "D": [w["D"] for w in groups],
    }
    return {f"{k}.{key}": np.array(value) for key, value in parts.items()}


def mamba_ssm_fixture(rng: np.random.Generator, tokens: int):
    layers = [mamba1_weights(rng, 16, 32, 4, 2) for _ in range(2)]
    names = [f"backbone.layers.{k}.mixer" for k in range(2)]
    tensors = {f"{n}.{key}": v for n, w in zip(names, layers, strict=True) for key, v in w.items()}
    tensors |= {"backbone.embedding.weight": draw(rng, 16, 16), "backbone.norm_f.weight": draw(rng, 16, mean=1.0)}
    u = rng.standard_normal((tokens, 16))
    golden = {"names": np.array(names), "u": u, **reference_mamba1(layers[0], u)}
    for k, w in enumerate(layers):
        golden |= normal_form_of(k, [w])
    return tensors, {"d_model": 16, "n_layer": 2, "vocab_size": 16, "ssm_cfg": {"d_state": 4, "dt_rank": 2}}, golden


def mamba_ssm_mamba2_fixture(rng: np.random.Generator, tokens: int):
    """With D per channel, clamped steps and a gated feed-forward branch: d_model 16, d_inner 32, scan width 24."""
    d, inner, E, G, N, H, limit = 16, 32, 24, 2, 5, 6, (0.25, 1.5)
    names = [f"backbone.layers.{k}.mixer" for k in range(2)]
    tensors, golden = {"backbone.embedding.weight": draw(rng, 16, d)}, {"names": np.array(names)}
    for k, name in enumerate(names):
        w = {"in_proj.weight": draw(rng, 2 * inner + 2 * G * N + H, d), "A_log": draw(rng, H, 1)[:, 0]}
        w |= {"conv1d.weight": draw(rng, E + 2 * G * N, 1, 4), "conv1d.bias": draw(rng, E + 2 * G * N)}
        w |= {"dt_bias": draw(rng, H), "D": draw(rng, E, mean=1.0), "norm.weight": draw(rng, E, mean=1.0)}
        w["out_proj.weight"] = draw(rng, d, inner)
        _, B, C, dt = np.split(w["in_proj.weight"], np.cumsum([2 * inner, G * N, G * N]))
        shaped = {"S_B": B.reshape(G, N, d), "S_C": C.reshape(G, N, d), "S_Delta": dt.reshape(G, H // G, d)}
        shaped |= {"dt_bias": w["dt_bias"].reshape(G, -1), "a": np.exp(w["A_log"]).reshape(G, -1, 1)}
        shaped["D"] = np.array([w["D"][h * 4 : h * 4 + 4].mean() for h in range(H)]).reshape(G, -1)
        golden |= {f"{k}.{key}": value for key, value in shaped.items()}
        tensors |= {f"{name}.{key}": value for key, value in w.items()}
        if k == 0:
            u = rng.standard_normal((tokens, d))
            golden |= {"u": u, **reference_mamba2(w, u, groups=G, norm_eps=1e-5, branch=inner - E, dt_limit=limit)}
    config = {"d_model": d, "n_layer": 2, "vocab_size": 16, "ssm_cfg": {"layer": "Mamba2", "d_state": N, "d_ssm": E}}
    config["ssm_cfg"] |= {"headdim": E // H, "ngroups": G, "dt_limit": list(limit)}
    return tensors, config, golden
