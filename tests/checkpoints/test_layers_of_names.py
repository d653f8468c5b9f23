"""Names are given to the innermost block around them, in a time that their dots do not square."""

import random
import time
from types import SimpleNamespace
from typing import cast

from mamba_dynamics.checkpoints.base import Archive
from mamba_dynamics.checkpoints.tensors import group_by_layer


def grouped(names: list[str], prefixes: list[str]) -> dict[str, set[str]]:
    archive = cast(Archive, SimpleNamespace(names=tuple(names)))
    return {prefix: set(tensors.suffixes) for prefix, tensors in group_by_layer(archive, prefixes).items()}


def test_a_name_belongs_to_the_longest_prefix_before_it():
    rng = random.Random(0)
    for _ in range(300):
        names = list({".".join(rng.choices(["a", "b", "ab", "", "a-b"], k=rng.randint(1, 5))) for _ in range(30)})
        prefixes = list({name[: name.rfind(".") + 1] for name in rng.sample(names, min(5, len(names)))})
        expected: dict[str, set[str]] = {prefix: set() for prefix in prefixes}
        for name in names:
            around = [prefix for prefix in prefixes if name.startswith(prefix)]
            if around:
                longest = max(around, key=len)
                expected[longest].add(name[len(longest) :])
        assert grouped(names, prefixes) == expected


def test_a_name_of_many_dots_takes_no_time():
    names = ["." * 200_000, "." * 200_000 + "A_log", "x." * 50_000 + "A_log"]
    began = time.monotonic()
    grouped(names, ["", "x." * 50_000])
    assert time.monotonic() - began < 2
