"""Shared fixtures. JAX is left in its default float32 here: the package must ask for float64 by itself."""

from pathlib import Path

import jax
import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real checkpoints and data sets that lies beside a developer's checkout."""
    if not SHARED.is_dir():
        pytest.skip("the folder shared/ with real checkpoints is not beside this checkout")
    return SHARED


@pytest.fixture
def x64():
    """float64 for tests that call JAX functions directly."""
    with jax.enable_x64(True):
        yield
