"""Checkpoints: weight files of many formats and architectures, read as S6 layers in normal form.

    checkpoint = open_checkpoint("path/to/model")      # reads headers, names and config.json
    layer = checkpoint.layer(0)                        # an `S6Layer`, reading only what it needs

Numpy only: nothing here imports JAX or torch (torch files are taken apart by `torch_zip`).
"""

from .archives import open_archive as open_archive
from .base import Archive as Archive
from .checkpoint import Checkpoint as Checkpoint
from .checkpoint import LayerSlot as LayerSlot
from .checkpoint import open_checkpoint as open_checkpoint
