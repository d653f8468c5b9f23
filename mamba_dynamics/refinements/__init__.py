"""The paper's two refinements of a Mamba layer, for new models and loaded ones (theory sections 6 to 8).

definite -> nearest;  softsort -> importance -> controls;  surgery puts both into a model, saving writes it to a file.
"""

from .controls import MeanImportance as MeanImportance
from .controls import RandomOrder as RandomOrder
from .controls import Reversed as Reversed
from .definite import DefiniteCertificate as DefiniteCertificate
from .definite import DefiniteProjection as DefiniteProjection
from .definite import paper_threshold as paper_threshold
from .importance import ImportanceReordering as ImportanceReordering
from .importance import importance_scores as importance_scores
from .nearest import NearestDefinite as NearestDefinite
from .nearest import nearest_definite as nearest_definite
from .saving import load_refined as load_refined
from .saving import save_model as save_model
from .softsort import hard_order as hard_order
from .softsort import soft_sort as soft_sort
from .surgery import with_definite as with_definite
from .surgery import with_reordering as with_reordering
