"""The rows of the benchmark, by name; each is one file."""

from .base import Row
from .classification import CLASSIFICATION
from .ensemble import ENSEMBLE
from .forward import FORWARD
from .gradient import GRADIENT
from .scan import SCAN, SCAN64
from .spectra import SPECTRA
from .start_up import START_UP
from .trajectory import TRAJECTORIES

_ALL = (SCAN, SCAN64, GRADIENT, SPECTRA, CLASSIFICATION, *TRAJECTORIES, ENSEMBLE, FORWARD, START_UP)

ROWS: dict[str, Row] = {row.name: row for row in _ALL}
