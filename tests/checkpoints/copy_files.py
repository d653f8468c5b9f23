"""Small files that hold a model several times, for the tests of copies."""

import numpy as np
from small_checkpoints import D_MODEL, mamba1

#: A file of a whole language model has these beside its layers.
EMBEDDING, HEAD = "embeddings.weight", "lm_head.weight"


def layers_below(*roots, count=3, shift=0):
    """{prefix: tensors} with the same layers below every root, each with values of its own."""
    return {
        f"{root}layers.{i}.mixer.": mamba1(seed=100 * (place + shift) + i)
        for place, root in enumerate(roots)
        for i in range(count)
    }


def whole(*roots):
    """An embedding, a norm and a head below every root."""
    beside = {EMBEDDING: (7, D_MODEL), "norm_f.weight": (D_MODEL,), HEAD: (7, D_MODEL)}
    return {root + name: np.ones(shape) for root in roots for name, shape in beside.items()}


def about_copies(checkpoint):
    """The one warning on copies, or None."""
    found = [line for line in checkpoint.warnings if line.startswith("copies")]
    assert len(found) <= 1
    return found[0] if found else None


def roots_of(checkpoint):
    """The prefixes in front of "layers" of all layers, in order."""
    return list(dict.fromkeys(slot.name.partition("layers.")[0] for slot in checkpoint.layers))
