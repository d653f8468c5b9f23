"""Shared fixtures. JAX is left in its default float32 here: the package must ask for float64 by itself."""

import os
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from cheap_compilation import compile_cheaply

#: How tests start Chromium.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

SHARED = Path(__file__).resolve().parents[2] / "shared"


def pytest_configure(config):
    # Workers get their environment from the process that starts them.
    if not hasattr(config, "workerinput"):
        compile_cheaply()


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


@pytest.fixture(scope="session")
def real_layer(shared):
    """(layer, activations) of one layer of a trained language model, read without this package's own reader."""
    from safetensors.numpy import load_file

    from mamba_dynamics import S6Layer

    folder = shared / "checkpoints" / "mamba-130m-one-layer"
    weights = {key.split("mixer.")[1]: value for key, value in load_file(folder / "model.safetensors").items()}
    x_proj = weights["x_proj.weight"]
    layer = S6Layer.from_matrices(
        S_B=x_proj[48:64],
        S_C=x_proj[64:],
        S_Delta=(weights["dt_proj.weight"], x_proj[:48]),
        A_log=weights["A_log"],
        dt_bias=weights["dt_proj.bias"],
    )
    with np.load(folder / "reference.npz") as reference:
        return layer, dict(reference)


def browser_path():
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert found, "expected Chromium: apt-get install chromium, or give its path in the variable CHROMIUM"
    return found


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, for tests marked `site`."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=browser_path(), args=ARGUMENTS)
        yield running
        running.close()
