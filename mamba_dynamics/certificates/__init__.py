"""Facts proved from the exact stored numbers, by rounding bounds, ball arithmetic and exact integers."""

from .copositivity import strictly_copositive as strictly_copositive
from .copositivity import symmetric_part as symmetric_part
from .signs import SignCounts as SignCounts
from .signs import channel_signs as channel_signs
from .signs import eigenvalue_signs as eigenvalue_signs
from .signs import independent_rows as independent_rows
from .signs import symmetric_signs as symmetric_signs
