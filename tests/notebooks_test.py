"""tools/notebooks: what is stored is complete and reads well elsewhere; all of them run."""

import ast
import importlib.util
import pathlib
import re

import matplotlib
import pytest

import vae_lowlevel

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "tools" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
MOST_BYTES = 600_000
LOCAL = re.compile(r"(?<![\w.])/(home|root|tmp|work|Users|var|private|mnt|usr|opt)/|[A-Z]:\\")
# Of a short run, instead of those in the cell with the tag "parameters".
SHORT = "IMAGES, EPOCHS = 700, 2"

# Of XLA, where a starving machine compiles for minutes; the third line names what is compiled.
SLOW = re.compile(r"E\d{4} .*slow_operation_alarm.*\n\n?\*+\n(?:\[.*\n|.*XLA_FLAGS.*\n|\n)+\*+\n")

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def execute():
    """The function `execute` of tools/notebooks/execute.py."""
    spec = importlib.util.spec_from_file_location("execute", FOLDER / "execute.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.execute


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs_of(notebook):
    return [output for cell in code_cells(notebook) for output in cell.outputs]


def wrong_outputs(notebook):
    """Returns the errors, and what was written to stderr; the progress bar is no stream."""
    return [
        output
        for output in outputs_of(notebook)
        if output.output_type == "error"
        or (output.get("name") == "stderr" and SLOW.sub("", output.text).strip())
    ]


def imports_of_the_package(tree):
    """Returns (module, name) of each import of this package."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    return [pair for pair in found if pair[0].split(".")[0] == vae_lowlevel.__name__]


def test_there_are_notebooks():
    assert len(NOTEBOOKS) == 4


@each_notebook
def test_a_stored_notebook_was_run_from_top_to_bottom(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert wrong_outputs(notebook) == []
    pictures = [output for output in outputs_of(notebook) if "image/png" in output.get("data", {})]
    assert len(pictures) >= 2
    # The bar of a training, as it was at the end.
    bars = [output.data["text/plain"] for output in outputs_of(notebook) if "data" in output]
    assert any(text.startswith("100%|") for text in bars)


@each_notebook
def test_a_stored_notebook_reads_well_on_a_code_host(path):
    assert path.stat().st_size < MOST_BYTES
    for output in outputs_of(nbformat.read(path, as_version=4)):
        texts = [output.get("text", ""), *map(str, output.get("data", {}).values())]
        for text in texts:
            assert "\r" not in text
        assert not LOCAL.search(texts[0]), texts[0]
        assert not LOCAL.search(output.get("data", {}).get("text/plain", ""))


@each_notebook
def test_a_notebook_uses_the_public_names_alone(path):
    code = "\n".join(cell.source for cell in code_cells(nbformat.read(path, as_version=4)))
    found = imports_of_the_package(ast.parse(code))
    assert found
    assert [pair for pair in found if pair[0] != "vae_lowlevel"] == []
    assert {name for _, name in found} <= set(vae_lowlevel.__all__)


KERNEL = """
import os, time
from vae_lowlevel import quiet_tensorflow
from vae_lowlevel.training.reporter import Reporter
quiet_tensorflow()
os.write(2, b"I0807 11:22:33.444444 4213 port.cc:1] information\\n")
os.write(2, b"W0807 11:22:33.444444 4213 port.cc:1] a warning\\n")
means = {"loss": 1.5, "skipped": 0.0, "images_per_second": 10.0}
shown = Reporter(total_steps=20, steps_per_epoch=10)
shown.begin(0)
for number in (1, 2):
    shown.block(10 * number, means)
    shown.epoch({"epoch": number, "train": means, "validation": {}, "seconds": 1.0})
shown.close()
time.sleep(5)  # What C++ writes is passed on by two other threads and processes.
"""


@pytest.mark.long
def test_a_kernel_shows_the_bar_once_and_of_the_log_only_warnings(execute, tmp_path):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(KERNEL)])
    execute(notebook, tmp_path, PYTHONPATH=str(ROOT))
    outputs = notebook.cells[0].outputs
    streams = {output.name: output.text for output in outputs if output.output_type == "stream"}
    bars = [output.data["text/plain"] for output in outputs if output.output_type != "stream"]
    assert len(outputs) == 3
    assert streams["stderr"] == "W0807 11:22:33.444444 4213 port.cc:1] a warning\n"
    names, *rows = streams["stdout"].splitlines()
    assert names.split() == ["epoch", "loss", "img/s", "time"]
    assert [row.split()[0] for row in rows] == ["1", "2"]
    (bar,) = bars
    assert bar.startswith("100%|█")
    assert "loss 1.5" in bar


@pytest.mark.slow
@each_notebook
def test_a_notebook_runs_without_a_network(path, execute, tmp_path):
    notebook = nbformat.read(path, as_version=4)
    (parameters,) = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert re.fullmatch(r"IMAGES, EPOCHS = \d+, \d+", parameters.source)
    parameters.source = SHORT
    for cell in code_cells(notebook):
        cell.outputs = []
    execute(
        notebook,
        tmp_path,
        PYTHONPATH=str(ROOT),
        # No data and no network: the images are drawn.
        VAE_LOWLEVEL_DATA_DIR="",
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        # With a new cache, matplotlib says on stderr that it builds a list of fonts.
        MPLCONFIGDIR=matplotlib.get_cachedir(),
        https_proxy="http://127.0.0.1:9",
    )
    assert wrong_outputs(notebook) == []
    assert any("image/png" in output.get("data", {}) for output in outputs_of(notebook))
