"""How the readers of checkpoints are called on a generated file, and the numbers they answered."""

from contextlib import suppress
from pathlib import Path
from typing import Any

#: So many of an archive's tensors are read, whole and by some rows.
_TENSORS = 40


def numbers_of_archive(path: Path) -> dict[tuple[str, tuple[int, int] | None], Any]:
    """Every tensor that can be read, whole, and without its first and its last row."""
    from mamba_dynamics._errors import CheckpointError
    from mamba_dynamics.checkpoints.archives import open_archive

    archive, found = open_archive(path), {}
    for name in archive.names[:_TENSORS]:
        shape = archive.shape(name)
        archive.dtype(name)
        ranges = [None, (0, 1), (1, shape[0])] if len(shape) and shape[0] > 1 else [None]
        for rows in ranges:
            with suppress(CheckpointError):
                found[name, rows] = archive.read(name, None if rows is None else slice(*rows))
    return found


def numbers_of_layer(path: Path) -> dict[tuple[str, tuple[int, int] | None], Any]:
    """Two matrices of a layer in an archive of numpy's."""
    from mamba_dynamics.cli.arrays import read_layer

    layer = read_layer(path)
    return {("S_B", None): layer.S_B[0], ("S_C", None): layer.S_C[0]}


def judge_model(path: Path) -> None:
    """Open a model's folder, read and judge every layer of it, and what its language model has around them."""
    from mamba_dynamics import weights_verdict
    from mamba_dynamics._errors import MambaDynamicsError
    from mamba_dynamics.checkpoints import open_checkpoint
    from mamba_dynamics.checkpoints.language_model import language_model_weights

    checkpoint = open_checkpoint(path.parent)
    for index in range(min(len(checkpoint), 6)):
        with suppress(MambaDynamicsError):
            weights_verdict(checkpoint.layer(index))
    with suppress(MambaDynamicsError):
        weights = language_model_weights(checkpoint)
        weights.block(0)
        weights.final_norm()
        weights.head(0, 1)


def read_tokens_of(path: Path) -> None:
    from mamba_dynamics.cli.arrays import read_tokens

    read_tokens(path)
