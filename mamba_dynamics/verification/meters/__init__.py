"""The meters: how each quantity that theory speaks of is measured on a run. They know no theory."""

from ..measured import Meter
from . import decay

METERS: dict[str, Meter] = {**decay.METERS}
