"""The table of layouts: how the tensors of one S6 layer are named and cut, and how a file is searched for them.

A layer is wherever a tensor called `A_log` (or `A_logs`) lies; its number of axes and the names
beside it select the row of the table. Prefixes differ between projects and are only reported.

    kind           marker         groups               module
    vmamba         A_logs  2-D    scan directions      stacked
    zamba          A_log   3-D    heads                stacked
    vim            A_log   2-D    two directions       mamba1     with A_b_log beside it
    mamba_vision   A_log   2-D    one                  mamba1     with conv1d_x beside it
    mamba1         A_log   2-D    one                  mamba1
    mamba2         A_log   1-D    n_groups             mamba2

Adding a layout means adding a module with `reads`, `measure` and `build`, and a row here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

from .._errors import UnsafeFile, UnsupportedArchitecture
from .._layer import S6Layer
from . import definite, mamba1, mamba2, stacked
from .base import Archive
from .facts import LayerFacts
from .refusals import foreign, refusal
from .sizes import Fact, Sizes
from .tensors import LayerTensors, group_by_layer


@dataclass(frozen=True)
class Layout:
    """One row: a layer has this layout if `marker` has `ndim` axes and `beside` lies beside it.

    `dropped` is what the limit leaves out beyond `DROPPED_BY_THE_LIMIT`; `dt_bias_times` is how often the model adds
    the bias of the step size before softplus.
    """

    kind: str
    marker: str
    ndim: int
    module: ModuleType
    beside: str | None = None
    dropped: tuple[str, ...] = ()
    dt_bias_times: int = 1

    def fits(self, tensors: LayerTensors) -> bool:
        return (
            tensors.has(self.marker)
            and len(tensors.archive.shape(tensors.prefix + self.marker)) == self.ndim
            and (self.beside is None or tensors.has(self.beside))
        )

    @property
    def reads(self) -> Callable[[LayerTensors], tuple[str, ...]]:
        return self.module.reads

    @property
    def measure(self) -> Callable[[LayerTensors, Sizes], dict[str, Fact]]:
        return self.module.measure

    @property
    def build(self) -> Callable[[LayerTensors, Sizes, LayerFacts], S6Layer]:
        return self.module.build


MARKERS = ("A_log", "A_logs")

#: No S6 model has more layers than a small part of this; a few bytes could claim any number, and each costs objects.
MOST_LAYERS = 2000

LAYOUTS = (
    Layout("vmamba", "A_logs", 2, stacked, dropped=("cross-direction merge",)),
    Layout("zamba", "A_log", 3, stacked),
    Layout("vim", "A_log", 2, mamba1, beside="A_b_log", dropped=("cross-direction merge",)),
    Layout("mamba_vision", "A_log", 2, mamba1, beside="conv1d_x.weight", dt_bias_times=2),
    Layout("mamba1", "A_log", 2, mamba1),
    Layout("mamba2", "A_log", 1, mamba2, dropped=("convolution and SiLU on B and C",)),
)


@dataclass(frozen=True)
class FoundLayer:
    """A layer in a file, before any of its tensors is read."""

    layout: Layout
    tensors: LayerTensors


def find_layers(archive: Archive, variant: str | None = None) -> tuple[FoundLayer, ...]:
    """All S6 layers of an archive in natural order (layers.2 before layers.10).

    Raises `UnsupportedArchitecture` where there is none, saying what was found instead; `UnsafeFile` where there are
    more than any model has.
    """
    prefixes = [name[: name.rfind(".") + 1] for name in archive.names if name[name.rfind(".") + 1 :] in MARKERS]
    if len(prefixes) > MOST_LAYERS:
        raise UnsafeFile(
            f"expected at most {MOST_LAYERS} S6 layers in a model, found {len(prefixes)} tensors named A_log"
        )
    layers = group_by_layer(archive, prefixes)
    candidates = [tensors for tensors in layers.values() if not foreign(tensors.suffixes)]
    found = [FoundLayer(layout, tensors) for tensors in candidates if (layout := _layout_of(tensors)) is not None]
    if not found:
        raise UnsupportedArchitecture(refusal(archive))
    for layer in found:
        if variant is None and layer.tensors.has(definite.SUFFIX):
            raise UnsupportedArchitecture(
                f"{layer.tensors.name}: x_proj is stored as the raw parameter of a reparametrisation, and the file "
                f"does not say which sign map belongs to it; say variant={' or '.join(definite.VARIANTS)}, or save the "
                "merged weight (torch.nn.utils.parametrize.remove_parametrizations)"
            )
    return tuple(sorted(found, key=lambda layer: natural(layer.tensors.prefix)))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that orders the numbers in a name by value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    # Digits of a hostile name may be too many for int(): their count and text order them as well.
    return tuple((0, len(p.lstrip("0")), p.lstrip("0")) if p[0] in "0123456789" else (1, 0, p) for p in parts)


def _layout_of(tensors: LayerTensors) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(tensors)), None)
