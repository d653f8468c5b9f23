"""Which names in a folder are those of a model's weights, which of them is read, and which are one shard of several.

model.safetensors, *.index.json, *.bin ...     weights, in the order of `PREFERENCES`
training_args.bin, optimizer.pt                what a trainer puts beside them
mp_rank_*_states.pt beside optimizer states    the files of a DeepSpeed run's processes
meta.pt beside .metadata                       what Lightning puts beside a distributed checkpoint
adapter_model.*                                an adapter (PEFT), beside a model's weights no weights of its own
model-00001-of-00002.safetensors               the first of two shards
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

TORCH_SUFFIXES = (".bin", ".pt", ".pth", ".ckpt")
INDEX_SUFFIX = ".index.json"
#: The names under which PEFT saves an adapter, the one to read first.
ADAPTERS = ("adapter_model.safetensors", "adapter_model.bin")

#: What to read in a folder, first match wins. A pattern must match a single file.
PREFERENCES = (
    ("model.safetensors",),
    ("model.safetensors.index.json",),
    ("*.safetensors.index.json",),
    ("*.safetensors",),
    ("pytorch_model.bin",),
    ("pytorch_model.bin.index.json",),
    tuple("*" + suffix + INDEX_SUFFIX for suffix in TORCH_SUFFIXES),
    tuple("*" + suffix for suffix in TORCH_SUFFIXES),
)
_PATTERNS = tuple(pattern for row in PREFERENCES for pattern in row)

_BESIDE_WEIGHTS = re.compile(
    r"(?:training_args|(?:optimizer|scheduler|scaler|sampler)(?:_\d+)?|(?:rng_state|random_states)\w*)\.(?:bin|pt|pth)"
)
_OF_PROCESSES = re.compile(r".*(?:model|optim)_states\.pt")
_OPTIMIZER_STATES = re.compile(r".*optim_states\.pt")
_SHARD = re.compile(r"(?P<model>.+)-(?P<number>\d{1,6})-of-(?P<count>\d{1,6})(?P<suffix>\.[A-Za-z]+)", re.ASCII)


def weights_among(names: Iterable[str]) -> list[str]:
    """The names of weights and of indexes of shards; an adapter's only where there are no others."""
    names = list(names)
    divided = any(map(_OPTIMIZER_STATES.fullmatch, names))
    distributed = ".metadata" in names
    weights = [
        name
        for name in names
        if any(_matches(name, pattern) for pattern in _PATTERNS)
        and not _BESIDE_WEIGHTS.fullmatch(name)
        and not (divided and _OF_PROCESSES.fullmatch(name))
        and not (distributed and name == "meta.pt")
    ]
    return [name for name in weights if name not in ADAPTERS] or weights


def preferred(names: Iterable[str]) -> list[str]:
    """Of the weights among names those to read, sorted; where there are several, none is better than the others."""
    weights = weights_among(names)
    for patterns in PREFERENCES:
        found = sorted(name for name in weights if any(_matches(name, pattern) for pattern in patterns))
        if found:
            return found
    return []


@dataclass(frozen=True)
class Shard:
    """Shard `number` of `count`, which belong to one model; `index` is the name of its index of shards."""

    number: int
    count: int
    index: str


def shard_of(name: str) -> Shard | None:
    """Which shard a file is by its name, None where it is a whole model.

    >>> shard_of("model-00001-of-00002.safetensors").index
    'model.safetensors.index.json'
    """
    match = _SHARD.fullmatch(name)
    if match is None or int(match["count"]) < 2:
        return None
    return Shard(int(match["number"]), int(match["count"]), match["model"] + match["suffix"] + INDEX_SUFFIX)


def shards_among(names: Iterable[str]) -> Shard | None:
    """The first of several shards of one model, None where a name is something else."""
    shards = [shard_of(name) for name in names]
    first = shards[0] if shards else None
    same = all(
        shard is not None and first is not None and (shard.count, shard.index) == (first.count, first.index)
        for shard in shards
    )
    return first if same else None


def _matches(name: str, pattern: str) -> bool:
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern
