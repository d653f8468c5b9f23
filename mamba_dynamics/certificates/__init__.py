"""Facts proved from the exact stored numbers, by rounding bounds, ball arithmetic and exact integers."""

from .signs import SignCounts as SignCounts
from .signs import channel_signs as channel_signs
from .signs import eigenvalue_signs as eigenvalue_signs
from .signs import symmetric_signs as symmetric_signs
