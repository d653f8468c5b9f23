"""Facts proved from the exact stored numbers, by rounding bounds, ball arithmetic and exact integers."""

from .blow_up_time import blow_up_bound as blow_up_bound
from .blow_up_time import elementary_blow_up_bound as elementary_blow_up_bound
from .blow_up_time import own_blow_up_time as own_blow_up_time
from .copositivity import strictly_copositive as strictly_copositive
from .copositivity import symmetric_part as symmetric_part
from .enclosure import Enclosure as Enclosure
from .enclosure import enclose as enclose
from .enclosure import proved_scenario as proved_scenario
from .signs import SignCounts as SignCounts
from .signs import channel_signs as channel_signs
from .signs import eigenvalue_signs as eigenvalue_signs
from .signs import form_sign as form_sign
from .signs import independent_rows as independent_rows
from .signs import symmetric_signs as symmetric_signs
