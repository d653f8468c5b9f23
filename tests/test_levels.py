"""Imports point one way: every module stands on a level and imports only from levels before its own.

Function-level imports count too; those under TYPE_CHECKING do not. Theory and numerics stand side by side
and never import each other, or checking one against the other would be circular.
"""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mamba_dynamics"

LEVELS = [
    {"_close_names", "_files", "_devices", "_streams"},
    {"_stop", "_errors", "_first_step", "_outcomes", "sample", "style"},
    {"_allowance", "_layer", "_layer_choice", "_linalg", "_documents", "_consensus", "_token_budget", "plotting"},
    {"certificates"},
    {"checkpoints", "_weights_verdict", "_selective_scan", "theorems"},
    {"dynamics", "_settings"},
    {"models"},
    {"refinements", "_trajectory", "_rates", "_rosenbrock"},
    {"_fates", "_integrate"},
    {"_integrate_stiff"},
    {"_solve"},
    {"_regime", "sweeps"},
    {"_verdict", "_stack_limit", "_smooth_flow"},
    {"_tokens_verdict", "_block_facts"},
    {"_ablations", "_classification_document", "training"},
    {"report_page"},
    {"_report", "_self_check", "_simulation_document", "verification"},
    {"_fidelity"},
    {"_fidelity_document"},
    {"cli"},
    {"__init__", "__main__"},
]
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}

NUMERICS = {
    "_devices",
    "_selective_scan",
    "dynamics",
    "models",
    "_trajectory",
    "_rates",
    "_fates",
    "_integrate",
    "_solve",
}
NUMERICS |= {"_stack_limit", "_smooth_flow", "_rosenbrock", "_integrate_stiff", "_first_step", "refinements", "sweeps"}
WITHOUT_JAX = {"_errors", "_outcomes", "_layer", "_linalg", "certificates", "_documents", "_weights_verdict"}
WITHOUT_JAX |= {"checkpoints", "sample", "theorems", "_trajectory", "_rates", "_fates", "_report", "cli"}
WITHOUT_JAX |= {"_classification_document", "_consensus", "_tokens_verdict", "_block_facts"}
#: Where proofs are written down; predictions, which `classify` needs, do without.
WITH_SYMPY = {"theorems/catalogue", "theorems/steps.py", "theorems/symbols.py", "theorems/asymptotics.py"}
HEAVY = {"jax", "jaxtyping", "equinox", "diffrax", "torch", "sympy", "matplotlib"}

FILES = sorted(PACKAGE.rglob("*.py"))


def place(path: Path) -> str:
    """The module or package of the top level that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, *, module_level_only: bool = False):
    """(dotted absolute name) of everything a file imports, TYPE_CHECKING blocks left out."""
    package = ["mamba_dynamics", *path.relative_to(PACKAGE).parts[:-1]]

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if module_level_only and isinstance(child, ast.FunctionDef):
                continue
            if isinstance(child, ast.Import):
                yield from (alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                base = package[: len(package) - child.level + 1] if child.level else []
                stem = ".".join([*base, *([child.module] if child.module else [])])
                yield from (f"{stem}.{alias.name}" for alias in child.names)
            yield from walk(child)

    yield from walk(ast.parse(path.read_text()))


def inner(path: Path) -> set[str]:
    """The top-level places of this package that a file imports."""
    names = (name.split(".") for name in imports(path) if name.startswith("mamba_dynamics."))
    return {parts[1] for parts in names} - {place(path)}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_come_from_earlier_levels(path):
    assert place(path) in LEVEL, "a new module needs a level"
    if place(path) == "__init__":
        return
    for name in inner(path):
        assert name in LEVEL, f"{name} is no module of the package"
        assert LEVEL[name] < LEVEL[place(path)], f"{place(path)} imports {name}, which is not on an earlier level"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_theory_and_numerics_never_import_each_other(path):
    if place(path) == "theorems":
        assert not inner(path) & NUMERICS
    if place(path) in NUMERICS:
        assert "theorems" not in inner(path)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_weights_need_no_jax(path):
    if place(path) in WITHOUT_JAX:
        found = {name.split(".")[0] for name in imports(path, module_level_only=True)}
        proofs = any(path.relative_to(PACKAGE).as_posix().startswith(one) for one in WITH_SYMPY)
        assert not found & (HEAVY - {"sympy"} if proofs else HEAVY)


@pytest.mark.parametrize(
    "package",
    [
        "certificates",
        "checkpoints",
        "dynamics",
        "models",
        "plotting",
        "refinements",
        "report_page",
        "sweeps",
        "theorems",
        "verification",
        "cli",
    ],
)
def test_no_cycles_inside_a_package(package):
    files = {path.stem: path for path in (PACKAGE / package).glob("*.py") if path.stem != "__init__"}
    prefix = f"mamba_dynamics.{package}."
    edges = {
        stem: {name.removeprefix(prefix).split(".")[0] for name in imports(path) if name.startswith(prefix)}
        & files.keys()
        for stem, path in files.items()
    }
    done: set[str] = set()
    while ready := {stem for stem in edges if stem not in done and edges[stem] - {stem} <= done}:
        done |= ready
    assert done == edges.keys(), f"imports go round in a circle among {sorted(edges.keys() - done)}"


def test_every_level_entry_exists():
    assert LEVEL.keys() == {place(path) for path in FILES}
