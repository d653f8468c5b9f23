"""The meters: how each quantity that theory speaks of is measured on a run. They know no theory."""

from ..measured import Meter
from . import attention, blow_up, decay, field, growth, vectors

_PARTS = (decay, growth, blow_up, attention, field, vectors)

METERS: dict[str, Meter] = {name: meter for part in _PARTS for name, meter in part.METERS.items()}
