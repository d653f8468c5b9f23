"""Execute a notebook and keep it with its outputs; a cell that raises or warns ends the command with its traceback.

python scripts/execute_notebook.py notebooks/NAME.ipynb TARGET.ipynb

The site shows what was executed, tests/test_notebooks.py looks at it; whoever comes first executes.
"""

import hashlib
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

import mamba_dynamics

#: Seconds a cell may take.
TIMEOUT = 300
#: Every warning is an error, but for those about the notebook's own machinery.
WARNINGS = """import warnings
warnings.simplefilter("error")
warnings.filterwarnings("ignore", module=".*(IPython|ipykernel|matplotlib_inline|traitlets)")
del warnings"""
OPTIONS = ["--InlineBackend.figure_formats=retina", f"--IPKernelApp.exec_lines={WARNINGS}"]
#: Pictures go where the page shows them, whatever backend the caller's own shell asks for.
INLINE = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}


def command(source: Path, target: Path) -> tuple[str, ...]:
    """What executes `source` in a process of its own, with INLINE in its environment."""
    return sys.executable, __file__, os.fspath(source), os.fspath(target)


def kept(source: Path, cache: Path) -> Path:
    """Where under `cache` the executed notebook is kept; the name depends on all that its outputs depend on."""
    package = Path(mamba_dynamics.__file__).parent
    digest = hashlib.sha256()
    for one in [source, Path(__file__), *sorted(package.rglob("*.py"))]:
        digest.update(one.name.encode() + one.read_bytes())
    return cache / "notebooks" / f"{source.stem}-{digest.hexdigest()[:16]}.ipynb"


def execute(source: Path, target: Path) -> None:
    """Run all cells in a fresh kernel of this interpreter, in an empty folder."""
    notebook = nbformat.read(source, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}})
        client.extra_arguments = OPTIONS
        client.execute()
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{os.getpid()}-{target.name}")
    nbformat.write(notebook, temporary)
    os.replace(temporary, target)


if __name__ == "__main__":
    try:
        execute(Path(sys.argv[1]), Path(sys.argv[2]))
    except CellExecutionError as error:
        sys.exit(str(error))
