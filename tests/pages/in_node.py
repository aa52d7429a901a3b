"""Runs programs in Node, with the interpreter that the pages use."""

import json
import pathlib
import shutil
import subprocess

import numpy as np
import pytest

from vae_lowlevel.pages import explorer

FOLDER = pathlib.Path(explorer.__file__).parent
SCRIPT = pathlib.Path(__file__).parent / "run_programs.js"
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="needs node")


def run_in_node(cases):
    """Runs programs.

    Args:
        cases: pairs of a program and its inputs, a list of {name: array}.

    Returns:
        For each program an array [inputs, values], and the names of all kernels.
    """
    content = [
        {
            "program": program,
            "inputs": [{name: np.ravel(v).tolist() for name, v in row.items()} for row in inputs],
        }
        for program, inputs in cases
    ]
    done = subprocess.run(
        [NODE, str(SCRIPT), *(str(FOLDER / name) for name in explorer.INTERPRETER)],
        input=json.dumps(content),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    # JSON has no NaN: a null is one, and equals nothing.
    results = [np.array(result["outputs"], np.float64) for result in answer["results"]]
    return results, answer["kernels"]
