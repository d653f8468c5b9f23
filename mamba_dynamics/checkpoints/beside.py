"""An adapter (PEFT) that lies beside its model's weights: its tensors take the places that they have in the model.

    adapter_model.safetensors                                        the model
    base_model.model.backbone.layers.0.mixer.x_proj.lora_A.weight    backbone.layers.0.mixer.x_proj.lora_A.weight
    base_model.model.backbone.layers.0.mixer.x_proj.weight           in place of the model's x_proj.weight

The model's names may have parts more or less at their beginning, where that leaves one way only to place every adapted
weight. `pieces` then puts the factors into the weights. What cannot be placed is named, and nothing is decided.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .._errors import UnsafeFile
from .adapters import ADAPTER_CONFIG, changes_its_base, changes_no_weight
from .archives import open_weights
from .base import Archive, shown
from .files import StoredFile
from .folder import Folder
from .tensors import printable
from .weight_names import ADAPTERS

_PREFIX = "base_model.model."
#: What follows a module's name in the names of an adapter's tensors.
_FACTOR = re.compile(r"(?P<module>.+?)\.(?:lora|ia3|hada|lokr|oft|boft|vera|fourierft|hra|randlora|shira)_\w+(?:\..*)?")
_SAVED = re.compile(r"\.(?:base_layer|modules_to_save(?:\.[^.]+)?)(?=\.(?:weight|bias)$)")
#: So many parts at the beginning of a name may differ, and so many places are compared.
_MOST_PARTS, _MOST_PLACES = 4, 16
#: A few bytes name a tensor, and each costs objects.
_MOST_TENSORS = 20_000


@dataclass(frozen=True)
class Beside:
    """A model's archive with the adapter that lies beside it; `unread` names an adapter that could not be placed."""

    archive: Archive
    warnings: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


class JoinedArchive(Archive):
    """A model's tensors and an adapter's; `places` are {name in the model: name in the adapter}."""

    def __init__(self, base: Archive, adapter: Archive, places: Mapping[str, str]):
        self._base, self._adapter, self.places = base, adapter, places
        self.path, self.folder, self.format = base.path, base.folder, base.format
        self.bytes_total = base.bytes_total + adapter.bytes_total
        self.names = tuple(sorted({*base.names, *places}))

    @property
    def bytes_read(self) -> int:
        return self._base.bytes_read + self._adapter.bytes_read

    def __contains__(self, name: object) -> bool:
        return name in self.places or name in self._base

    def shape(self, name: str) -> tuple[int, ...]:
        return self._holder(name).shape(self.places.get(name, name))

    def dtype(self, name: str) -> str:
        return self._holder(name).dtype(self.places.get(name, name))

    def read(self, name: str, rows: slice | None = None) -> NDArray[np.floating]:
        return self._holder(name).read(self.places.get(name, name), rows)

    def _holder(self, name: str) -> Archive:
        return self._adapter if name in self.places else self._base


def with_adapter(archive: Archive, folder: Folder, *, alone: bool) -> Beside:
    """The model's archive with the adapter that lies in its folder, where there is one.

    `alone` says that the weights' own file was asked for: it is then read as it is, and the adapter is only named.

    Raises what opening the adapter's file and reading its config raise.
    """
    file = adapter_in(folder)
    if file is None or file.path.name == archive.path.name:
        return Beside(archive)
    name = file.path.name
    if alone:
        return Beside(archive, (f"without the adapter {name} beside it; open the folder for the model with it",))
    kind = changes_no_weight(folder)
    if kind is not None:
        return Beside(archive, (f"the adapter {name} beside the weights changes none of them ({kind})",))
    if way := changes_its_base(folder):
        return _unplaced(archive, name, f"{ADAPTER_CONFIG} says {way}, which changes the model's weights too")
    adapter = open_weights(file)
    if len(adapter.names) > _MOST_TENSORS:
        raise UnsafeFile(
            f"{shown(file.path)}: expected at most {_MOST_TENSORS} tensors of an adapter, found {len(adapter.names)}; "
            "no adapter has so many"
        )
    places = _places(archive, adapter)
    if places is None:
        first = printable(adapter.names[0]) if adapter.names else "none"
        return _unplaced(archive, name, f"its tensors, such as {first}, fit the model's names in no way or in several")
    other = [one for one in places if one in archive and archive.shape(one) != adapter.shape(places[one])]
    if other:
        return _unplaced(archive, name, f"its {printable(other[0])} has another shape than the model's")
    return Beside(JoinedArchive(archive, adapter, places), (_joined_words(archive, name, places),))


def adapter_in(folder: Folder) -> StoredFile | None:
    """The file of an adapter in a folder, None where there is none. Raises `UnsafeFile` if it is a link out of it."""
    return next((file for name in ADAPTERS if (file := folder.find(name)) is not None), None)


def not_put_in(archive: Archive, joined: Archive) -> tuple[str, ...]:
    """A warning on factors of an adapter that no weight of `archive` includes, none where there are none."""
    places = joined.places if isinstance(joined, JoinedArchive) else {}
    apart = [name for name in places if name in archive and _FACTOR.fullmatch(name)]
    if not apart:
        return ()
    return (f"{len(apart)} tensors of the adapter are put into no weight, such as {printable(apart[0])}",)


def _joined_words(archive: Archive, name: str, places: Mapping[str, str]) -> str:
    replaced = sum(one in archive for one in places)
    instead = f", {replaced} in place of the model's own" if replaced else ""
    return (
        f"the model is read with the adapter {name} beside it ({len(places)} tensors{instead}); open "
        f"{printable(archive.path.name)} itself for the model without it"
    )


def _unplaced(archive: Archive, name: str, reason: str) -> Beside:
    step = "merge it into the model (peft: merge_and_unload) and open the result"
    found = f"the adapter {name} beside the weights ({reason})"
    return Beside(archive, (f"not read, so the checkpoint as a whole is not decided: {found}; {step}",), (name,))


def _places(archive: Archive, adapter: Archive) -> dict[str, str] | None:
    """{name in the model: name in the adapter}, None where the names do not tell it, or tell it in several ways."""
    bare = {name: _SAVED.sub("", name.removeprefix(_PREFIX)) for name in adapter.names}
    adapted = [f"{match['module']}.weight" for name in bare.values() if (match := _FACTOR.fullmatch(name))]
    targets = sorted(set(adapted or bare.values()))
    if not targets:
        return None
    ways = [way for way in _ways(archive, targets[0]) if all(_moved(target, way) in archive for target in targets)]
    if not ways or (len(ways) > 1 and ways[0] != (0, "")):
        return None
    places = {_moved(short, ways[0]): name for name, short in bare.items()}
    return places if len(places) == len(bare) else None


def _ways(archive: Archive, target: str) -> list[tuple[int, str]]:
    """(parts to take off, prefix to put before) by which a name becomes one of the model's; the identity first."""
    parts = target.split(".")
    for off in range(min(_MOST_PARTS, len(parts) - 2) + 1):
        if any(part.isdigit() for part in parts[:off]):  # another layer is another place
            break
        short = ".".join(parts[off:])
        found = sorted(name.removesuffix(short) for name in archive.names if f".{name}".endswith(f".{short}"))
        if len(found) > _MOST_PLACES:
            return [(off, "")] if found[0] == "" and off == 0 else []
        if found:
            return [(off, prefix) for prefix in found]
    return []


def _moved(name: str, way: tuple[int, str]) -> str:
    off, prefix = way
    return prefix + ".".join(name.split(".")[off:])
