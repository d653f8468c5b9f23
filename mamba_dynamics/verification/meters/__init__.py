"""The meters: how each quantity that theory speaks of is measured on a run. They know no theory."""

from ..measured import Meter
from . import attention, blow_up, decay, field, growth

METERS: dict[str, Meter] = {**decay.METERS, **growth.METERS, **blow_up.METERS, **attention.METERS, **field.METERS}
