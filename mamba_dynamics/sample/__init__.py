"""The bundled sample: a small trained byte-level Mamba language model, described in README.md beside this file."""

from pathlib import Path


def sample_path() -> Path:
    """The folder holding the sample's `config.json` and `model.safetensors` (Hugging Face `mamba` layout)."""
    return Path(__file__).parent
