"""A generator of safetensors files: whole models of every layout, then other shapes, types and names of their tensors.

`tables` gives the tensors of one small layer of each layout as {name: shape}; `written` makes the file. Every variation
keeps the file whole as safetensors, so that what it means is looked at.
"""

import json
import math
import struct
from collections.abc import Callable
from inspect import signature
from random import Random

from case import Case
from torch_tensors import random_values

Shapes = dict[str, tuple[int, ...]]

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I8": 1, "U8": 1, "F8_E4M3": 1, "BOOL": 1, "I32": 4}
#: Lengths of an axis beside an empty one, where the file's bytes do not bound them.
_HUGE = (2**16, 2**22, 2**24, 2**24, 2**25, 2**28, 2**31 - 1, 2**31, 2**32, 2**40, 2**57)
#: Values that a payload of no tensor may have: a tensor's file is to stay small.
_MOST_BYTES = 200_000


def mamba1(E: int = 4, N: int = 3, R: int = 2, d: int = 2, k: int = 4) -> Shapes:
    """One layer of Mamba-1, whole."""
    return {"in_proj.weight": (2 * E, d), "conv1d.weight": (E, 1, k), "conv1d.bias": (E,),
    "x_proj.weight": (R + 2 * N, E),
            "dt_proj.weight": (E, R), "dt_proj.bias": (E,), "A_log": (E, N), "D": (E,), "out_proj.weight": (d,
            E)}  # fmt: skip


def mamba2(E: int = 4, G: int = 1, N: int = 3, H: int = 2, d: int = 2, k: int = 4) -> Shapes:
    """One layer of Mamba-2, whole."""
    return {"in_proj.weight": (2 * E + 2 * G * N + H, d), "conv1d.weight": (E + 2 * G * N, 1, k),
            "conv1d.bias": (E + 2 * G * N,), "dt_bias": (H,), "A_log": (H,), "D": (H,), "norm.weight": (E,),
            "out_proj.weight": (d, E)}  # fmt: skip


def _jamba(**sizes: int) -> Shapes:
    norms = {"dt_layernorm.weight": (sizes.get("R", 2),), "b_layernorm.weight": (sizes.get("N", 3),)}
    return mamba1(**sizes) | norms | {"c_layernorm.weight": (sizes.get("N", 3),)}


def _without_convolution(**sizes: int) -> Shapes:
    return {name: shape for name, shape in mamba1(**sizes).items() if "conv" not in name}


def _with_biases(E: int = 4, N: int = 3, R: int = 2, d: int = 2) -> Shapes:
    return mamba1(E, N, R, d) | {"x_proj.bias": (R + 2 * N,), "in_proj.bias": (2 * E,), "out_proj.bias": (d,)}


def _two_groups(E: int = 8, G: int = 2, N: int = 3, H: int = 4) -> Shapes:
    return mamba2(E, G, N, H)


def _zamba(H: int = 2, P: int = 2, N: int = 3, R: int = 2) -> Shapes:
    return {"in_proj.weight": (2 * H * P, 2), "conv1d.weight": (H * P, 1, 4), "x_proj_weight": (H, R + 2 * N, P),
            "dt_proj_weight": (H, P, R), "dt_proj_bias": (H, P), "A_log": (H, P, N), "D": (H, P),
            "out_proj.weight": (2, H * P)}  # fmt: skip


def _zamba_with_bias(H: int = 2, P: int = 2, N: int = 3, R: int = 2) -> Shapes:
    return _zamba(H, P, N, R) | {"x_proj_bias": (H, R + 2 * N)}


def _vmamba(K: int = 4, E: int = 2, N: int = 2, R: int = 1) -> Shapes:
    return {"A_logs": (K * E, N), "Ds": (K * E,), "x_proj_weight": (K, R + 2 * N, E), "dt_projs_weight": (K, E, R),
            "dt_projs_bias": (K, E), "in_proj.weight": (2 * E, 2), "out_proj.weight": (2, E)}  # fmt: skip


def _vim(E: int = 4, N: int = 3, R: int = 2) -> Shapes:
    second = {"A_b_log": (E, N), "conv1d_b.weight": (E, 1, 4), "conv1d_b.bias": (E,), "x_proj_b.weight": (R + 2 * N, E),
              "dt_proj_b.weight": (E, R), "dt_proj_b.bias": (E,), "D_b": (E,)}  # fmt: skip
    return mamba1(E, N, R) | second


def _first_vim(E: int = 4, N: int = 3, R: int = 2) -> Shapes:
    return mamba1(E, N, R) | {"A_b_log": (E, N)}


def _mamba_vision(E: int = 4, N: int = 3, R: int = 2) -> Shapes:
    ends = {"conv1d_x.weight": (E, 1, 3), "conv1d_z.weight": (E, 1, 3), "in_proj.weight": (2 * E, 2 * E)}
    return _without_convolution(E=E, N=N, R=R) | ends | {"out_proj.weight": (2 * E, 2 * E)}


def _around(layer: Shapes, d: int) -> Shapes:
    found = {f"{_MIXER}{name}": shape for name, shape in layer.items()}
    return found | {
        "backbone.embeddings.weight": (5, d),
        "backbone.norm_f.weight": (d,),
        "backbone.layers.0.norm.weight": (d,),
    }


def _language_model(E: int = 4, N: int = 3, R: int = 2, d: int = 2, k: int = 4) -> Shapes:
    return _around(mamba1(E, N, R, d, k), d)


def _second_language_model(E: int = 4, G: int = 1, N: int = 3, H: int = 2, d: int = 2, k: int = 4) -> Shapes:
    return _around(mamba2(E, G, N, H, d, k), d) | {"lm_head.weight": (5, d)}


_MIXER = "backbone.layers.0.mixer."
#: Layouts: name -> (the tensors of a small model, the config that its sizes need).
TABLES: dict[str, tuple[Callable[..., Shapes], dict | None]] = {
    "mamba1": (mamba1, None), "mamba1 without convolution": (_without_convolution, None),
    "mamba1 with biases": (_with_biases, None), "mamba2": (mamba2, {"model_type": "mamba2", "n_groups": 1}),
    "mamba2 of two groups": (_two_groups, {"model_type": "mamba2", "n_groups": 2}),
    "jamba": (_jamba, None), "zamba": (_zamba, None), "zamba with a bias": (_zamba_with_bias, None),
    "vmamba": (_vmamba, None), "vim": (_vim, None), "vim, first version": (_first_vim, None),
    "mamba_vision": (_mamba_vision, None), "language model": (_language_model, {"model_type": "mamba"}),
    "language model, second": (_second_language_model, {"model_type": "mamba2", "n_groups": 1}),
}  # fmt: skip

_BIASES = ("x_proj.bias", "x_proj.bias", "x_proj_bias", "in_proj.bias", "dt_proj.bias", "dt_bias")
#: Tensors that may lie beside others, or come under another name: each a part of some model.
_BESIDE = (
    "x_proj.bias", "x_proj_bias", "in_proj.bias", "out_proj.bias", "D", "Ds", "norm.weight", "conv1d.bias",
    "conv1d.weight",
    "b_layernorm.weight", "c_layernorm.weight", "dt_layernorm.weight", "B_norm.weight", "A_b_log", "A_s_log", "A_c_log",
    "x_proj_s.weight", "dt_proj_s.weight", "dt_proj_s.bias", "x_proj_b.weight", "A_log_1", "A_log_2", "A_logs", "A_log",
    "lora_A.weight", "in_proj.lora_A.weight", "x_proj.lora_B.weight", "x_proj.base_layer.weight", "weight_orig",
    "x_proj.weight_mask", "conv1d_x.weight", "conv1d_z.weight", "x_proj.conv.weight", "importance.weight", "qweight",
    "x_proj.parametrizations.weight.original", "x_proj.weight_scale", "dt_bias", "embeddings.weight", "lm_head.weight",
    "x_proj.qzeros", "B_bias", "C_bias",
)  # fmt: skip


def written(tensors: dict[str, tuple[str, tuple[int, ...]]], rng: Random) -> bytes:
    """A safetensors file of {name: (type, shape)} with values at random."""
    header, payload = {}, b""
    for name, (kind, shape) in tensors.items():
        count = math.prod(shape)
        known = kind if kind in ("F64", "F32", "F16", "BF16") else None
        data = random_values(rng, known, count) if known else bytes(count * _BYTES[kind])
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(payload), len(payload) + len(data)]}
        payload += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + payload


def plain_tables() -> tuple[bytes, ...]:
    """A valid file of each layout that needs no config."""
    return tuple(written({name: ("F32", shape) for name, shape in make().items()}, Random(0))
                 for make, config in TABLES.values() if config is None)  # fmt: skip


def _other_shape(rng: Random, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Another rank, an axis of another length, an empty one beside a huge one, two axes exchanged."""
    kind = rng.randrange(9)
    at = rng.randrange(len(shape)) if shape else 0
    if kind == 0 or not shape:
        return rng.choice(((), (1,), (0,), (*shape, 1), (1, *shape), (*shape, 2), (1,) * 64, (2, 2)))
    if kind == 1:
        return shape[:at] + shape[at + 1 :]
    if kind == 2:
        return (*shape[:at], 0, *shape[at + 1 :])
    if kind == 3:
        length = rng.choice((1, 2, 3, shape[at] + 1, max(shape[at] - 1, 0), 2 * shape[at], 1025))
        return (*shape[:at], length, *shape[at + 1 :])
    if kind == 4:
        return rng.choice(((0, rng.choice(_HUGE)), (rng.choice(_HUGE), 0), (0, rng.choice(_HUGE), 1), (1, 0, 2**40)))
    if kind == 5 and len(shape) > 1:
        other = list(shape)
        empty, huge = rng.sample(range(len(shape)), 2)
        other[empty], other[huge] = 0, rng.choice(_HUGE)
        return tuple(other)
    if kind == 6:
        return shape[::-1]
    if kind == 7:
        return (math.prod(shape),)
    return (0,) * len(shape)


def _vary(rng: Random, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    """One variation, in place; what was done."""
    name = rng.choice(list(tensors))
    kind, shape = tensors[name]
    what = rng.randrange(11)
    prefix = _MIXER if name.startswith(_MIXER) else ""
    if what <= 4:
        tensors[name] = kind, _other_shape(rng, shape)
        return f"{name} {list(shape)} as {list(tensors[name][1])[:6]}"
    if what == 5:
        del tensors[name]
        return f"without {name}"
    if what <= 7:
        new = prefix + rng.choice(_BESIDE)
        tensors[new] = kind, rng.choice((shape, _other_shape(rng, shape), rng.choice(list(tensors.values()))[1]))
        return f"{new} {list(tensors[new][1])[:6]} beside"
    if what == 8:
        tensors[name] = rng.choice(list(_BYTES)), shape
        return f"{name} as {tensors[name][0]}"
    if what == 9:
        new = rng.choice(
            (prefix + rng.choice(_BESIDE), name + rng.choice(("_1", ".", " ", "_orig")), "x." + name, name.upper())
        )
        tensors[new] = tensors.pop(name)
        return f"{name} renamed {new}"
    extra = rng.choice(("ema.", "model.", "state_dict.", "module.", "1."))
    tensors |= {extra + one: value for one, value in list(tensors.items())}
    return f"all again under {extra}"


def _sizes(rng: Random, make: Callable[..., Shapes]) -> dict[str, int]:
    """A size of the layer that is zero, one or large, in all its tensors alike."""
    known = {"E", "N", "R", "d", "k"} if make in (_jamba, _without_convolution) else set(signature(make).parameters)
    return {rng.choice(sorted(known)): rng.choice((0, 0, 0, 1, 7, 1025))}


def _empty_beside_huge(rng: Random, tensors: dict[str, tuple[str, tuple[int, ...]]]) -> str:
    """A tensor that holds nothing, with an axis that is as long as a number may be."""
    prefix = _MIXER if any(name.startswith(_MIXER) for name in tensors) else ""
    name = rng.choice((*tensors, *(prefix + one for one in _BESIDE[:18])))
    if rng.random() < 0.5:
        name = prefix + rng.choice(_BIASES)
    tensors[name] = "F32", rng.choice(((0, rng.choice(_HUGE)), (rng.choice(_HUGE), 0), (0, 1, rng.choice(_HUGE))))
    return f"{name} as {list(tensors[name][1])}"


def tensor_table(rng: Random) -> Case:
    """A model of some layout, varied once to three times."""
    layout = rng.choice(list(TABLES))
    make, config = TABLES[layout]
    kind = rng.choice(("F32", "F32", "F32", "BF16", "F16", "F64"))
    huge = rng.random() < 0.2
    sizes = _sizes(rng, make) if rng.random() < (0.7 if huge else 0.2) else {}
    tensors = {name: (kind, shape) for name, shape in make(**sizes).items()}
    if rng.random() < 0.3 and "language" not in layout:
        tensors = {_MIXER + name: value for name, value in tensors.items()}
    says = [f"{layout} {sizes}"]
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3)) - huge):
        if tensors:
            says.append(_vary(rng, tensors))
    if huge:
        says.append(_empty_beside_huge(rng, tensors))
    large = [name for name, (kind, shape) in tensors.items() if math.prod(shape) * _BYTES[kind] > _MOST_BYTES]
    for name in large:
        del tensors[name]
    table = config if config is None or rng.random() < 0.8 else None
    files = {
        "model.safetensors": written(tensors, rng),
        "config.json": b"{}" if table is None else json.dumps(table).encode(),
    }
    return Case(files, "; ".join(says))
