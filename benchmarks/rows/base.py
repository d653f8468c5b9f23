"""`Row`: one comparison, at a few sizes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..measure import Call, Command

OURS = "ours"


@dataclass(frozen=True)
class Row:
    """What is compared, at which sizes, and what is asked of it.

    sides: ours under `OURS`, then the peers. sizes: any values of JSON, the headline last but one or the only one.
    label: a size in words. scale: the number that growth is fitted against. work: how much there is to do at least,
    by the names of `ceilings.CEILINGS`. tolerance: how far answers may be from ours, relative to the largest entry.
    count: the name of what sides count themselves, whose ratio is printed as well. note: what a reader must know.
    one_core: calls have one core to themselves.
    """

    name: str
    title: str
    sides: dict[str, Call | Command]
    sizes: tuple[Any, ...]
    label: Callable[[Any], str] = str
    scale: Callable[[Any], float] | None = None
    work: Callable[[Any], dict[str, float]] = field(default=lambda size: {})
    tolerance: float = 0.0
    count: str = ""
    note: str = ""
    headline: int = -1
    one_core: bool = False
