"""Runs notebooks from top to bottom and stores their outputs in them.

python tools/notebooks/execute.py tools/notebooks/*.ipynb
"""

import os
import pathlib
import sys
import tempfile
import time

import nbformat
from nbclient import NotebookClient

# A kernel of a user has neither. With the second, ipykernel does not show what C++ writes.
LEFT_OUT = ("TF_CPP_MIN_LOG_LEVEL", "PYTEST_CURRENT_TEST")
CELL_SECONDS = 1200


def execute(notebook, folder, **environment):
    """Runs all cells of a notebook in place, in a folder for the files that it writes.

    Args:
        notebook: an `nbformat` notebook.
        folder: the working directory of the kernel.
        **environment: variables of the kernel, in addition to those of this process.

    Raises:
        CellExecutionError: a cell ended with an error.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    client.execute(env={**inherited, **environment})
    clean(notebook)


def clean(notebook):
    """Removes what differs between machines and second formats of pictures; joins the lines."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        joined = []
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data.pop("image/jpeg", None)
            is_stream = output.output_type == "stream"
            if is_stream and joined and joined[-1].get("name") == output.name:
                joined[-1].text += output.text
            else:
                joined.append(output)
        if cell.cell_type == "code":
            cell.outputs = joined


def main(paths):
    for path in map(pathlib.Path, paths):
        notebook = nbformat.read(path, as_version=4)
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            execute(notebook, folder)
        nbformat.write(notebook, path)
        print(f"{path}: {time.monotonic() - started:.0f} s, {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
