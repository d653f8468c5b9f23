"""`mamba-dynamics doctor`: what is installed, where it runs, and whether it computes what is known in closed form."""

import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, requires
from importlib.metadata import version as installed_version
from typing import Any

import click

from .._documents import SCHEMA_VERSION, printable
from .._self_check import SelfCheck, self_check
from .command import as_json, command
from .output import UNDECIDED_OR_DISAGREES, as_markup, complain, print_json

#: What every command needs, in the order of the table.
CORE = ("numpy", "python-flint", "jax", "jaxlib", "equinox", "diffrax", "sympy", "matplotlib", "safetensors", "jinja2")
#: extra -> what it is for
EXTRAS = {
    "hub": "read models on the Hugging Face hub by their ids",
    "text": "read tokenizer.json, for --text",
    "train": "train models: mamba-dynamics train",
    "sweep": "compute phase diagrams over parameters: mamba-dynamics sweep",
    "bench": "measure the peers of the benchmarks: python -m benchmarks",
    "docs": "build the documentation, open pages in a browser",
    "test": "run the tests",
}
_REQUIREMENT = re.compile(r"""([A-Za-z0-9._-]+).*extra *== *['"]([a-z]+)['"]""")


@command
@as_json
def doctor(json: bool) -> None:
    """Say what is installed and where it runs, and check a few numbers that are known in closed form (seconds)."""
    began = time.monotonic()
    facts = _facts()
    if not json:
        _print_facts(facts)
    checks = []
    for check in self_check():
        checks.append(check)
        if not json:
            _print_check(check)
    ok = all(check.ok for check in checks)
    if json:
        document = {"schema_version": SCHEMA_VERSION, "ok": ok} | facts
        seconds = {"wall_seconds": time.monotonic() - began}
        print_json(document | {"checks": [_check_document(check) for check in checks]} | seconds)
    if not ok:
        failed = ", ".join(check.name for check in checks if not check.ok)
        complain(f"checks failed ({failed}): reinstall it into a fresh environment")
        raise click.exceptions.Exit(UNDECIDED_OR_DISAGREES)


def _facts() -> dict[str, Any]:
    """What is installed and where it runs."""
    return {
        "versions": {name: _version(name) for name in ("mamba-dynamics", *CORE)} | {"python": sys.version.split()[0]},
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "jax": _jax(),
        "extras": [_extra(name, purpose) for name, purpose in EXTRAS.items()],
    }


def _version(name: str) -> str | None:
    try:
        return installed_version(name)
    except PackageNotFoundError:
        return None


def _extra(name: str, purpose: str) -> dict[str, Any]:
    """An extra is installed if all of its packages are."""
    try:
        listed = [_REQUIREMENT.match(line) for line in requires("mamba-dynamics") or ()]
    except PackageNotFoundError:
        listed = []
    packages = {one[1]: _version(one[1]) for one in listed if one is not None and one[2] == name}
    missing = [package for package, found in packages.items() if found is None]
    installed = bool(packages) and not missing
    return {"name": name, "purpose": purpose, "installed": installed, "packages": packages, "missing": missing}


def _jax() -> dict[str, Any]:
    """JAX's devices, precision and cache of compiled programs; `problem` where it cannot be imported or started."""
    try:
        import jax
        import jax.numpy as jnp

        with jax.enable_x64(True):
            float64 = bool(jnp.ones(1, jnp.float64).dtype == jnp.float64)
        folder = getattr(jax.config, "jax_compilation_cache_dir", None)
        return {
            "backend": jax.default_backend(),
            "devices": [str(device.device_kind) for device in jax.devices()],
            "x64_by_default": bool(getattr(jax.config, "jax_enable_x64", False)),
            "float64": float64,
            "compilation_cache": None if folder is None else str(folder),
            "problem": None,
        }
    except Exception as error:  # a broken installation may raise anything
        return {"problem": " ".join(f"{type(error).__name__}: {error}".split())}


def _check_document(check: SelfCheck) -> dict[str, Any]:
    fields = ("name", "formula", "expected", "found", "error", "tolerance", "ok", "problem")
    return {name: getattr(check, name) for name in fields}


def _print_facts(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    versions = ", ".join(f"{name} {found or 'missing'}" for name, found in facts["versions"].items())
    table.add_row("versions", as_markup(versions))
    table.add_row("machine", as_markup(f"{facts['platform']}, {facts['processors']} processors"))
    for row in _about_jax(facts["jax"]):
        table.add_row(*(as_markup(cell) for cell in row))
    for extra in facts["extras"]:
        state = "installed" if extra["installed"] else f"not installed: pip install 'mamba-dynamics[{extra['name']}]'"
        table.add_row(f"extra {extra['name']}", as_markup(f"to {extra['purpose']}; {state}"))
    Console(highlight=False).print(table)


def _about_jax(jax: dict[str, Any]) -> list[tuple[str, str]]:
    if jax["problem"]:
        return [("devices", f"JAX does not start: {jax['problem']}")]
    default = "on" if jax["x64_by_default"] else "off"
    float64 = "there" if jax["float64"] else "not there"
    kept = "off; with JAX_COMPILATION_CACHE_DIR=FOLDER compiled programs are kept between runs"
    return [
        ("devices", f"{jax['backend']}: {', '.join(jax['devices'])}"),
        ("float64", f"{float64}; {default} by default, switched on where it is needed"),
        ("program cache", jax["compilation_cache"] or kept),
    ]


def _print_check(check: SelfCheck) -> None:
    said = check.problem or f"error {check.error:.0e}, at most {check.tolerance:g}"
    if check.problem is None and not check.ok:
        said += f": found {check.found:.15g}, expected {check.expected:.15g}"
    click.echo(f"{'ok' if check.ok else 'FAILED':6}  {check.name:18}  {check.formula} ({printable(said)})")
