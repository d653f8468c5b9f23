"""The Mamba language model in JAX: its forward pass, and the token states on the way.

primitives -> mixers -> block -> loading -> language_model, walk
"""

from .block import ABLATIONS as ABLATIONS
from .block import Block as Block
from .block import radial_rates as radial_rates
from .language_model import MambaLM as MambaLM
from .language_model import load_model as load_model
from .mixers import Stages as Stages
from .walk import Visit as Visit
from .walk import walk as walk
