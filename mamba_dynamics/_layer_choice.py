"""Which layers of a checkpoint are meant: positions, negative ones from the end, or a slice that lies within."""

from collections.abc import Iterable

from ._errors import NoSuchLayer


def chosen_layers(total: int, layers: Iterable[int] | slice | None) -> list[int]:
    """Positions from 0 of the layers meant, all of them for None.

    Raises `NoSuchLayer` for a position outside the checkpoint, and for a slice that reaches beyond it or holds none.
    """
    if layers is None:
        return list(range(total))
    if isinstance(layers, slice):
        bounds = [bound for bound in (layers.start, layers.stop) if bound is not None]
        chosen = list(range(total)[layers])
        if not chosen or not all(-total <= bound <= total for bound in bounds):
            start, stop = ("" if bound is None else bound for bound in (layers.start, layers.stop))
            found = f"{start}:{stop}, which {'reaches beyond them' if chosen else 'holds none of them'}"
            raise NoSuchLayer(f"expected layers START:STOP within {_there(total, stop=True)}, found {found}")
        return chosen
    chosen = list(layers)
    for index in chosen:
        if not -total <= index < total:
            raise NoSuchLayer(f"expected a layer from {_there(total)}, found {index}")
    return [index % total for index in chosen]


def _there(total: int, *, stop: bool = False) -> str:
    layers = f"{total} S6 layer{'' if total == 1 else 's'}"
    return f"0 to {total if stop else total - 1} (the checkpoint has {layers})"
