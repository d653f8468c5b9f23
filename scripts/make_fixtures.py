"""Tiny random checkpoints of every architecture, with golden arrays read from the torch modules.

    python scripts/make_fixtures.py tests/fixtures     (needs torch, transformers, safetensors)

Each folder holds `model.safetensors`, `config.json` where the architecture has one, and
`golden.npz`: the S6 weights of every layer in normal form, read by attribute from the module (so
not by the package's own reader), and for the first layer the stages of its mixer on seven tokens:

    u   mixer input (L, d)          x   scan input after conv and SiLU (L, E)
    B, C  as the scan uses them (G, L, N)          dt  step sizes (G, L, STEPS)
    scan  scan output before D and gate (L, E), or (K, L, E) per direction          out  mixer output (L, d)
    library  mixer output of transformers' own forward pass in float32 (L, d), where it has the architecture

The stages come from the sequential float64 reference in `reference_mixers.py` and
`reference_vision.py`; the script fails where transformers disagrees with it. Releases before 5.24
compute something else for Zamba2 and Nemotron-H (inter-chunk recurrence, clamp of the step size).
Weights are such that every part shows in `out`: biases, norms and their epsilons, several groups of
several heads (tests/checkpoints/test_goldens.py).
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import transformers
from reference_mixers import (
    mamba_ssm_fixture,
    mamba_ssm_mamba2_fixture,
    reference_mamba1,
    reference_mamba2,
    reference_zamba,
)
from reference_vision import mamba_vision_fixture, vim_fixture, vmamba_fixture
from safetensors.torch import load_file, save_file

TOKENS = 7
COMMON = {"vocab_size": 16, "num_hidden_layers": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ATTENTION = {"num_attention_heads": 2, "num_key_value_heads": 2}
MAMBA1 = {"hidden_size": 16, "state_size": 4, "time_step_rank": 3}
HYBRID2 = {"hidden_size": 16, "intermediate_size": 24, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_n_groups": 2}
HYBRID2 |= {"mamba_d_state": 6, "mamba_chunk_size": 4, **ATTENTION}
MULTIPLIERS = {"ssm_in_multiplier": 1.25, "ssm_multipliers": [0.75, 1.5, 0.5, 2.0, 1.125]}
LINEAR, FULL = "linear_attention", "full_attention"

#: name -> (config class, keyword arguments)
MODELS = {
    "mamba": ("MambaConfig", MAMBA1),
    "falcon_mamba": ("FalconMambaConfig", {**MAMBA1, "layer_norm_epsilon": 0.02, "mixer_rms_eps": 0.05}),
    "jamba": (
        "JambaConfig",
        {"hidden_size": 16, "intermediate_size": 24, "mamba_d_state": 4, "mamba_dt_rank": 3, "num_hidden_layers": 3}
        | {"attn_layer_period": 3, "attn_layer_offset": 1, "num_experts": 1, "rms_norm_eps": 0.05, **ATTENTION},
    ),
    "zamba": (
        "ZambaConfig",
        {"hidden_size": 16, "intermediate_size": 24, "mamba_d_state": 4, "mamba_dt_rank": 3, "num_hidden_layers": 4}
        | {"n_mamba_heads": 2, "layers_block_type": [LINEAR, "hybrid", LINEAR, "hybrid"], **ATTENTION},
    ),
    "mamba2": (
        "Mamba2Config",
        {"hidden_size": 16, "state_size": 6, "num_heads": 4, "head_dim": 8, "n_groups": 2, "chunk_size": 4}
        | {"time_step_limit": (0.2, 1.5), "layer_norm_epsilon": 0.02},
    ),
    "zamba2": (
        "Zamba2Config",
        {"hidden_size": 16, "intermediate_size": 24, "mamba_d_state": 6, "mamba_ngroups": 2, "n_mamba_heads": 4}
        | {"layers_block_type": [LINEAR, "hybrid", "hybrid"], "num_hidden_layers": 3, "chunk_size": 4}
        | {"num_mem_blocks": 1, **ATTENTION},
    ),
    "bamba": ("BambaConfig", {**HYBRID2, "attn_layer_indices": [1], "num_hidden_layers": 3}),
    "granitemoehybrid": (
        "GraniteMoeHybridConfig",
        {**HYBRID2, "layer_types": [LINEAR, FULL, LINEAR], "num_hidden_layers": 3, "residual_multiplier": 0.5}
        | {"shared_intermediate_size": 16, "num_local_experts": 0, "num_experts_per_tok": 0},
    ),
    "falcon_h1": (
        "FalconH1Config",
        {**HYBRID2, "mamba_d_ssm": 32, "head_dim": 8, "mamba_proj_bias": True, "projectors_bias": True, **MULTIPLIERS},
    ),
    "nemotron_h": (
        "NemotronHConfig",
        {
            "hidden_size": 16,
            "intermediate_size": 24,
            "layers_block_type": [LINEAR, FULL, "mlp", LINEAR],
            "num_hidden_layers": 4,
        }
        | {"ssm_state_size": 6, "mamba_num_heads": 4, "mamba_head_dim": 8, "n_groups": 2, "chunk_size": 4}
        | {"head_dim": 8, **ATTENTION},
    ),
}

#: Architectures outside transformers: from (generator, number of tokens) to (tensors, config or None, golden arrays).
HANDMADE = {
    "mamba_ssm": mamba_ssm_fixture,
    "mamba_ssm_mamba2": mamba_ssm_mamba2_fixture,
    "vim": vim_fixture,
    "vmamba": vmamba_fixture,
    "mamba_vision": mamba_vision_fixture,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    for seed, (name, (config_class, options)) in enumerate(MODELS.items()):
        torch.manual_seed(seed)
        config = getattr(transformers, config_class)(**(COMMON | options))
        model = transformers.AutoModelForCausalLM.from_config(config).eval()
        randomise(model, torch.Generator().manual_seed(seed))
        golden = golden_arrays(model, name, np.random.default_rng(seed))
        model.save_pretrained(out / name)
        golden["names"] = names_in_file(model, out / name / "model.safetensors")
        (out / name / "generation_config.json").unlink(missing_ok=True)
        save_golden(out / name, golden)
    rng = np.random.default_rng(100)
    for name, make in HANDMADE.items():
        tensors, config, golden = make(rng, TOKENS)
        (out / name).mkdir(parents=True, exist_ok=True)
        weights = {key: torch.tensor(value, dtype=torch.float32) for key, value in tensors.items()}
        save_file(weights, out / name / "model.safetensors")
        if config is not None:
            (out / name / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        save_golden(out / name, golden)


def save_golden(folder: Path, golden: dict[str, np.ndarray]) -> None:
    """In float32 where that is exact."""
    exact = {k: v.astype(np.float32) for k, v in golden.items() if v.dtype == np.float64 and np.all(np.float32(v) == v)}
    np.savez_compressed(folder / "golden.npz", **(golden | exact))


@torch.no_grad()
def randomise(model: torch.nn.Module, generator: torch.Generator) -> None:
    """Make every weight generic: the library's initial values hide transposed or swapped tensors."""
    for name, value in model.named_parameters():
        noise = torch.randn(value.shape, generator=generator)
        last = name.rsplit(".", 1)[-1]
        if last == "A_log" or last in ("dt_bias", "dt_proj_bias") or name.endswith("dt_proj.bias"):
            value.copy_(0.7 * noise - 0.3)
        elif last == "D" or "norm" in name:
            value.copy_(1 + 0.4 * noise)
        else:
            value.copy_(noise / max(1, value.shape[-1]) ** 0.5)


@torch.no_grad()
def golden_arrays(model: torch.nn.Module, name: str, rng: np.random.Generator) -> dict[str, np.ndarray]:
    mixers = {n: m for n, m in model.named_modules() if hasattr(m, "A_log")}
    golden: dict[str, np.ndarray] = {}
    for k, mixer in enumerate(mixers.values()):
        golden |= {f"{k}.{key}": value for key, value in normal_form(mixer).items()}
    mixer = next(iter(mixers.values()))
    u = np.float32(rng.standard_normal((TOKENS, mixer.in_proj.weight.shape[1]))).astype(float)
    stages = stages_of(mixer, u)
    library = mixer(torch.tensor(u[None], dtype=torch.float32))
    library = (library[0] if isinstance(library, tuple) else library)[0].double().numpy()
    error = np.abs(library - stages["out"]).max() / np.abs(stages["out"]).max()
    print(f"{name:18} {len(mixers)} layers, library against sequential reference: {error:.1e}")
    if error > 1e-5:  # float32 forward pass against float64
        raise SystemExit(f"{name}: the library disagrees with the reference")
    return golden | {key: np.float32(value) for key, value in {"u": u, "library": library, **stages}.items()}


def names_in_file(model: torch.nn.Module, file: Path) -> np.ndarray:
    """Where each mixer lies in the file, found by the values of its A_log: saving may rename modules."""
    stored = {name: value for name, value in load_file(file).items() if name.endswith(".A_log")}
    mixers = [module for module in model.modules() if hasattr(module, "A_log")]
    found = [next(n for n, v in stored.items() if torch.equal(v, mixer.A_log)) for mixer in mixers]
    return np.array([name.removesuffix(".A_log") for name in found])


def normal_form(mixer: torch.nn.Module) -> dict[str, np.ndarray]:
    """S6 weights by attribute of the module, in the shapes of `S6Layer` (S_Delta dense)."""
    rates = mixer.A_log.double().exp().numpy()
    if mixer.A_log.ndim == 1:
        G, N, H, E = mixer.n_groups, mixer.ssm_state_size, mixer.num_heads, mixer.intermediate_size
        _, _, B, C, dt = mixer.in_proj.weight.split([E, E, G * N, G * N, H])
        parts = {"S_B": B.view(G, N, -1), "S_C": C.view(G, N, -1), "S_Delta": dt.view(G, H // G, -1)}
        dt_bias = mixer.dt_bias.double()
        if mixer.in_proj.bias is not None:
            factors = mixer.mup_vector[0, 0].double() if hasattr(mixer, "mup_vector") else 1.0
            dt_bias = dt_bias + (factors * mixer.in_proj.bias.double())[-H:]
        parts |= {"dt_bias": dt_bias.view(G, -1), "D": mixer.D.view(G, -1)}
        return {key: value.numpy() for key, value in parts.items()} | {"a": rates.reshape(G, -1, 1)}
    heads = mixer.A_log.ndim == 3
    x_proj = mixer.x_proj_weight if heads else mixer.x_proj.weight[None]
    up = mixer.dt_proj_weight if heads else mixer.dt_proj.weight[None]
    bias = mixer.dt_proj_bias if heads else mixer.dt_proj.bias[None]
    down, B, C = x_proj.split([mixer.time_step_rank, mixer.ssm_state_size, mixer.ssm_state_size], dim=1)
    parts = {"S_B": B, "S_C": C, "dt_bias": bias, "D": mixer.D if heads else mixer.D[None]}
    parts["S_Delta"] = up.double() @ down.double()
    return {key: value.numpy() for key, value in parts.items()} | {"a": rates if heads else rates[None]}


def stages_of(mixer: torch.nn.Module, u: np.ndarray) -> dict[str, np.ndarray]:
    """The mixer's stages by the float64 reference, from the module's own parameters."""
    weights = {name: value.double().numpy() for name, value in mixer.named_parameters()}
    if mixer.A_log.ndim == 3:
        return reference_zamba(weights, u)
    if mixer.A_log.ndim == 2:
        layernorm = getattr(mixer, "b_layernorm", None)
        eps = getattr(layernorm, "variance_epsilon", getattr(layernorm, "eps", None))
        return reference_mamba1(weights, u, norm_eps=eps)
    norm = getattr(mixer, "norm", None)
    factors = MULTIPLIERS if hasattr(mixer, "mup_vector") else {"ssm_in_multiplier": 1.0, "ssm_multipliers": [1.0] * 5}
    # zamba2 and nemotron_h: the library clamps with time_step_min = 0.001, which no step size here comes near.
    limit = mixer.time_step_limit if mixer.time_step_limit[0] != 0.001 else (0.0, np.inf)
    return reference_mamba2(
        weights,
        u,
        groups=mixer.n_groups,
        norm_eps=getattr(norm, "variance_epsilon", None),
        input_factor=factors["ssm_in_multiplier"],
        row_factors=factors["ssm_multipliers"],
        dt_limit=limit,
    )


if __name__ == "__main__":
    main()
