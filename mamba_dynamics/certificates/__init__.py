"""Facts proved from the exact stored numbers, by rounding bounds, ball arithmetic and exact integers.

Names are loaded when first used: signs that rounding bounds prove need no ball arithmetic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blow_up_time import blow_up_bound as blow_up_bound
    from .blow_up_time import elementary_blow_up_bound as elementary_blow_up_bound
    from .blow_up_time import own_blow_up_time as own_blow_up_time
    from .copositivity import strictly_copositive as strictly_copositive
    from .copositivity import symmetric_part as symmetric_part
    from .counts import SignCounts as SignCounts
    from .enclosure import Enclosure as Enclosure
    from .enclosure import enclose as enclose
    from .enclosure import proved_scenario as proved_scenario
    from .exact import form_sign as form_sign
    from .signs import channel_signs as channel_signs
    from .signs import eigenvalue_signs as eigenvalue_signs
    from .signs import independent_rows as independent_rows
    from .signs import symmetric_signs as symmetric_signs

_NAMES_OF = {
    "blow_up_time": "blow_up_bound elementary_blow_up_bound own_blow_up_time",
    "copositivity": "strictly_copositive symmetric_part",
    "counts": "SignCounts",
    "enclosure": "Enclosure enclose proved_scenario",
    "exact": "form_sign",
    "signs": "channel_signs eigenvalue_signs independent_rows symmetric_signs",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
