"""A generator of configs: every field of every architecture as any value, beside weights of that architecture."""

import json
from random import Random

from case import Case
from tensor_tables import TABLES, mamba1, mamba2, written

from mamba_dynamics.checkpoints.architectures import ARCHITECTURES, Architecture

#: JSON texts of every kind and magnitude, in the place of any value.
TEXTS = (
    "0", "-0", "-0.0", "1", "2", "-1", "1.0", "2.5", "1e3", "1e308", "-1e308", "1e309", "1e-400", "9" * 400,
    "-" + "9" * 400,
    "9" * 4000, "9" * 5000, "1e" + "9" * 30, "2147483648", "4294967296", "9223372036854775807", "9223372036854775808",
    "18446744073709551616", "NaN", "Infinity", "-Infinity", "null", "true", "false", '""', '"auto"', '"1"',
    '"Infinity"',
    '"inf"', '"-inf"', '"nan"', '"' + "a" * 5000 + '"', '"\\ud800"', '"\\u202e\\n"', "[]", "{}", "[1]", "[1, 2]",
    "[[1]]",
    "[0, 1e400]", "[1, 0]", "[-1, 1]", "[NaN, NaN]", "[0.0, Infinity]", "[true, false]", "[" + "9" * 400 + ", 1]",
    "[1, 1, 1, 1, 1]", "[1e308, 1e308, 1e308, 1e308, 1e308]", "[1, 1, 1, 1, " + "9" * 400 + "]",
    '[null, null]', '{"__float__": "Infinity"}', '{"__float__": "-Infinity"}', '{"__float__": "nan"}',
    '{"__float__": 1}',
    '{"__float__": ' + "9" * 400 + "}", '{"__float__": {"__float__": "Infinity"}}', '{"__float__": []}',
    '{"__float__": null}',
    '[{"__float__": "0"}, {"__float__": "Infinity"}]', '{"__float__": "Infinity", "x": 1}', "[" * 300 + "]" * 300,
    "[" * 100_000 + "]" * 100_000, '{"a":' * 300 + "1" + "}" * 300, '{"a": 1, "a": 2}', "[" + "1," * 3000 + "1]",
)  # fmt: skip
#: Fields that are looked at whatever the architecture is.
_COMMON = (
    "model_type", "text_config", "ssm_cfg", "d_model", "n_layer", "hidden_act", "rms_norm", "layer_norm_epsilon",
    "norm_epsilon", "importance_reordering", "attn_layer_idx", "ssm_in_multiplier", "ssm_multipliers",
    "time_step_limit",
    "time_step_min", "tie_word_embeddings", "vocab_size", "quantization_config", "num_hidden_layers", "auto_map",
)  # fmt: skip
_INNER = ("layer", "d_state", "d_conv", "expand", "headdim", "ngroups", "d_ssm", "dt_rank", "dt_limit")
#: The sizes of the small layers.
_SIZES = {"d_model": 2, "d_inner": 4, "d_state": 3, "rank": 2, "d_conv": 4, "heads": 2, "head_dim": 2, "groups": 1}


def _right(row: Architecture) -> dict[str, object]:
    """The fields of an architecture, as its small layer needs them."""
    found: dict[str, object] = {"model_type": row.name}
    found |= {key: _SIZES[size] for size, key in row.sizes.items()}
    if row.expand:
        found[row.expand] = 2
    if row.layers:
        found[row.layers] = 1
    if row.norm_eps:
        found[row.norm_eps] = 1e-6
    if row.dt_limit:
        found[row.dt_limit] = [0.0, {"__float__": "Infinity"}]
    return found


def _of_mamba_ssm(rng: Random) -> tuple[dict[str, object], str]:
    """The config of the reference implementation, whose fields lie in a table within."""
    second = rng.random() < 0.5
    inner: dict[str, object] = {"layer": "Mamba2" if second else "Mamba1", "d_state": 3, "d_conv": 4, "expand": 2}
    if second:
        inner |= {"headdim": 2, "ngroups": 1}
    return {"d_model": 2, "n_layer": 1, "ssm_cfg": inner}, "mamba2" if second else "mamba1"


def config(rng: Random) -> Case:
    """A right config of some architecture, one to three of its fields replaced, beside its weights."""
    row = rng.choice(ARCHITECTURES)
    kind = row.kinds[0]
    fields, kind = _of_mamba_ssm(rng) if row.name == "mamba_ssm" else (_right(row), kind)
    texts = {key: json.dumps(value) for key, value in fields.items()}
    says = [row.name]
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 3))):
        key = rng.choice(list(texts) if rng.random() < 0.75 else _COMMON)
        value = rng.choice(TEXTS)
        if key == "ssm_cfg" and rng.random() < 0.8:
            inner = {word: json.dumps(one) for word, one in (fields.get("ssm_cfg") or {}).items()}
            inner[rng.choice(_INNER)] = value
            value = _object(inner)
        texts[key] = value
        says.append(f"{key} = {value[:50]}")
    text = _object(texts)
    if rng.random() < 0.1:
        text = '{"model_type": "vlm", "text_config": ' + text + "}"
    if rng.random() < 0.05:
        key = rng.choice(list(texts))
        text = text[:-1] + f", {json.dumps(key)}: {rng.choice(TEXTS)}}}"
        says.append(f"{key} twice")
    return Case({"config.json": text.encode(), "model.safetensors": _weights(kind)}, "; ".join(says))


def _object(texts: dict[str, str]) -> str:
    return "{" + ", ".join(f"{json.dumps(key)}: {value}" for key, value in texts.items()) + "}"


def _weights(kind: str) -> bytes:
    if kind not in _WEIGHTS:
        layer = {"mamba1": mamba1, "mamba2": mamba2}.get(kind) or TABLES[kind][0]
        tensors = {"backbone.layers.0.mixer." + name: shape for name, shape in layer().items()}
        if kind in ("mamba1", "mamba2"):
            tensors |= {"backbone.embeddings.weight": (5, 2), "backbone.norm_f.weight": (2,)}
            tensors |= {"backbone.layers.0.norm.weight": (2,)}
        _WEIGHTS[kind] = written({name: ("F32", shape) for name, shape in tensors.items()}, Random(0))
    return _WEIGHTS[kind]


_WEIGHTS: dict[str, bytes] = {}


def plain_configs() -> tuple[bytes, ...]:
    """A right config of the first architecture, beside which its weights lie."""
    return (json.dumps(_right(ARCHITECTURES[0])).encode(),)


def right_cases() -> dict[str, Case]:
    """A right config of each architecture, and its weights."""
    cases = {row.name: Case({"config.json": json.dumps(_right(row)).encode(),
        "model.safetensors": _weights(row.kinds[0])})
             for row in ARCHITECTURES if row.name != "mamba_ssm"}  # fmt: skip
    fields, kind = _of_mamba_ssm(Random(0))
    return cases | {
        "mamba_ssm": Case({"config.json": json.dumps(fields).encode(), "model.safetensors": _weights(kind)})
    }


WEIGHTS_OF_THE_PLAIN = _weights("mamba1")
