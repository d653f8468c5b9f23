"""Execute a notebook and write it with its outputs; a cell that raises ends the command with its traceback.

python scripts/execute_notebook.py notebooks/NAME.ipynb TARGET.ipynb
"""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

#: Seconds a cell may take.
TIMEOUT = 300


def execute(source: Path, target: Path) -> None:
    """Run all cells in a fresh kernel of this interpreter, in an empty folder."""
    notebook = nbformat.read(source, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        client = NotebookClient(notebook, timeout=TIMEOUT, resources={"metadata": {"path": folder}})
        client.extra_arguments = ["--InlineBackend.figure_formats=retina"]
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
