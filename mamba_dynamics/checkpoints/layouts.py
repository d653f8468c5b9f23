"""The table of layouts: how the tensors of one S6 layer are named and cut, and how a file is searched for them.

A layer is wherever a tensor called `A_log` (or `A_logs`) lies; its number of axes and the names
beside it select the row of the table. Prefixes differ between projects and are only reported.

    kind           marker           groups               module
    vmamba_m2      A_logs  1, 2-D   scan directions      heads_of_directions    with a rate for each step size
    vmamba         A_logs  2-D      scan directions      stacked
    zamba          A_log   3-D      heads                stacked
    vim            A_log   2-D      directions           mamba1     with A_b_log, A_TAG_log or A_log_TAG beside it
    mamba_vision   A_log   2-D      one                  mamba1     with conv1d_x beside it
    mamba_beat     A_log   2-D      one                  mamba1     with selection beside it, and no x_proj
    mamba1         A_log   2-D      one                  mamba1
    mamba2         A_log   1-D      n_groups             mamba2

A layout's module holds the table of its tensors (`tensor_table`) behind `rows`, and `reads`, `measure` and `build`,
which go through it. Adding a layout means adding such a module, and a row here. What lies in a block beside the table
is another module's, or is reported (`leftovers`); so is a block with decay rates whose names or axes no layout knows.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType

from .._errors import MissingTensor, UnsafeFile, UnsupportedArchitecture
from .._layer import S6Layer
from . import definite, heads_of_directions, mamba1, mamba2, stacked
from .base import Archive
from .copy_words import MOST_PARTS, read_path
from .directions import has_directions, has_selection
from .facts import LayerFacts
from .leftovers import not_understood
from .refusals import foreign, foreign_at, refusal
from .sizes import Fact, Sizes
from .tensor_table import Table, accounted, require_numbers
from .tensors import LayerTensors, group_by_layer
from .unread import MOST_LAYERS, Blocks, unread_blocks
from .wrappings import situation


def _always(tensors: LayerTensors) -> bool:
    return True


@dataclass(frozen=True)
class Layout:
    """One row: a layer has this layout if `marker` has one of `ndim` axes and `beside` holds of what lies beside it.

    `dropped` is what the limit leaves out beyond `DROPPED_BY_THE_LIMIT`; `dt_bias_times` is how often the model adds
    the bias of the step size before softplus.
    """

    kind: str
    marker: str
    ndim: tuple[int, ...]
    module: ModuleType
    beside: Callable[[LayerTensors], bool] = _always
    dropped: tuple[str, ...] = ()
    dt_bias_times: int = 1

    def fits(self, tensors: LayerTensors) -> bool:
        return tensors.has(self.marker) and len(tensors.shape(self.marker)) in self.ndim and self.beside(tensors)

    def left_out(self, tensors: LayerTensors) -> tuple[str, ...]:
        """Suffixes of the block's tensors that were not understood."""
        module, rows = self.module, self.rows(tensors)
        return not_understood(
            tensors, accounted(rows, tensors), module.reads(tensors), input_is_read=module.INPUT_IS_READ
        )

    @property
    def rows(self) -> Callable[[LayerTensors], Table]:
        return self.module.rows

    @property
    def reads(self) -> Callable[[LayerTensors], tuple[str, ...]]:
        return self.module.reads

    @property
    def measure(self) -> Callable[[LayerTensors, Sizes], dict[str, Fact]]:
        return self.module.measure

    @property
    def build(self) -> Callable[[LayerTensors, Sizes, LayerFacts], S6Layer]:
        return self.module.build


def _is_mamba_vision(tensors: LayerTensors) -> bool:
    return tensors.has("conv1d_x.weight")


_SPECTRAL = "x_proj.parametrizations.weight.0._u"
MARKERS = ("A_log", "A_logs")

_MERGE = ("cross-direction merge",)
LAYOUTS = (
    Layout("vmamba_m2", "A_logs", (1, 2), heads_of_directions, heads_of_directions.fits, _MERGE),
    Layout("vmamba", "A_logs", (2,), stacked, dropped=_MERGE),
    Layout("zamba", "A_log", (3,), stacked),
    Layout("vim", "A_log", (2,), mamba1, has_directions, _MERGE),
    Layout("mamba_vision", "A_log", (2,), mamba1, _is_mamba_vision, dt_bias_times=2),
    Layout("mamba_beat", "A_log", (2,), mamba1, has_selection),
    Layout("mamba1", "A_log", (2,), mamba1),
    Layout("mamba2", "A_log", (1,), mamba2, dropped=("convolution and SiLU on B and C",)),
)


@dataclass(frozen=True)
class FoundLayer:
    """A layer in a file, before any of its tensors is read."""

    layout: Layout
    tensors: LayerTensors

    @cached_property
    def left_out(self) -> tuple[str, ...]:
        """Suffixes of the block's tensors that were not understood."""
        return self.layout.left_out(self.tensors)


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
    for tensors in candidates:
        require_numbers(tensors, tensors.first(*MARKERS))
    found = [FoundLayer(layout, tensors) for tensors in candidates if (layout := _layout_of(tensors)) is not None]
    if not found:
        raise UnsupportedArchitecture(refusal(archive))
    for layer in found:
        _require_sign_map(layer.tensors, variant)
    return tuple(sorted(found, key=lambda layer: natural(layer.tensors.prefix)))


def unread_beside(archive: Archive, found: Sequence[FoundLayer]) -> Blocks:
    """Blocks beside the layers that look like an S6 scan's and are no layer of a known layout, in natural order.

    Blocks of other recurrences, which have an A_log too, are none of them.
    """
    read = {layer.tensors.prefix for layer in found}
    said = {layer.tensors.prefix + suffix for layer in found for suffix in layer.left_out}
    blocks = unread_blocks(archive, lambda prefix, name: prefix in read or name in said)
    originals = {stem: layer.tensors for layer in found if (stem := read_path(_parts(layer.tensors.prefix)).stem)}
    return {
        prefix: blocks[prefix]
        for prefix in sorted(blocks, key=natural)
        if not foreign_at(archive, prefix) and not _repeats_a_part(archive, prefix, blocks[prefix], originals)
    }


def _repeats_a_part(
    archive: Archive, prefix: str, names: Sequence[str], originals: Mapping[tuple[str, ...], LayerTensors]
) -> bool:
    """Whether a word says that a block is a copy, and it holds some tensors of a layer: masks of the projections."""
    read = read_path(_parts(prefix))
    layer = originals.get(read.stem)
    return (
        bool(read.roles)
        and layer is not None
        and all(layer.has(name) and layer.shape(name) == archive.shape(prefix + name) for name in names)
    )


def _parts(prefix: str) -> list[str]:
    return prefix.removesuffix(".").split(".", MOST_PARTS)


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that orders the numbers in a name by value."""
    parts = re.findall(r"[0-9]+|[^0-9]+", name)
    # Digits of a hostile name may be too many for int(): their count and text order them as well.
    return tuple((0, len(p.lstrip("0")), p.lstrip("0")) if p[0] in "0123456789" else (1, 0, p) for p in parts)


def _require_sign_map(tensors: LayerTensors, variant: str | None) -> None:
    """Where x_proj is the raw parameter of the paper's reparametrised models, the caller has to say its sign map."""
    if not tensors.has(definite.SUFFIX):
        return
    if tensors.has(_SPECTRAL):
        raise MissingTensor(
            f"{tensors.name}: expected x_proj.weight, found {_SPECTRAL}; {situation('x_proj', (_SPECTRAL,))}"
        )
    if variant is None:
        raise UnsupportedArchitecture(
            f"{tensors.name}: x_proj is stored as the raw parameter of a reparametrisation, and the file "
            f"does not say which sign map belongs to it; say variant={' or '.join(definite.VARIANTS)}, or save the "
            "merged weight (torch.nn.utils.parametrize.remove_parametrizations)"
        )


def _layout_of(tensors: LayerTensors) -> Layout | None:
    return next((layout for layout in LAYOUTS if layout.fits(tensors)), None)
