"""Fills a version's folder: the SavedModel, its request examples and its warm-up file."""

from __future__ import annotations

import contextlib
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator

import tensorflow as tf

from vae_lowlevel.errors import RunError, first_line
from vae_lowlevel.serving import replay
from vae_lowlevel.serving.examples import Inputs, make_example_inputs, write_request_examples
from vae_lowlevel.serving.server_files import BATCH_SIZES
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.warmup import read_warmup, write_warmup

# Relative, between two ways to run the same graph; bfloat16 has 8 significant bits.
TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2}


def write_version(
    folder: str,
    serving_model: ServingModel,
    name: str,
    *,
    precision: str = "float32",
    with_warmup: bool = True,
    replaying: subprocess.Popen | None = None,
) -> None:
    """Saves a model and tests every signature in a process that imports TensorFlow alone.

    Args:
        folder: an existing folder.
        serving_model: a model that was built outside any strategy's scope.
        name: name of the model on the server.
        precision: number format of its hidden layers, for the tolerance.
        with_warmup: write the warm-up file. A server that refuses XLA could not load a version that
            has both XLA and this file.
        replaying: of `start_replay`, where it was started before; None starts it here.

    Raises:
        RunError: the outputs of a saved signature differ from those of the model.
    """
    with start_replay() if replaying is None else contextlib.nullcontext(replaying) as replaying:
        serving_model.save(folder)
        examples = make_example_inputs(serving_model)
        write_request_examples(folder, name, examples)
        requests = _example_requests(serving_model, examples, TOLERANCES[precision])
        if with_warmup:
            write_warmup(folder, name, examples, BATCH_SIZES)
            requests += [(*request, None, 0.0) for request in read_warmup(folder)]
        _finish_replay(replaying, folder, requests)


@contextlib.contextmanager
def start_replay() -> Iterator[subprocess.Popen]:
    """Starts the process that tests an export, and ends it with the block.

    It imports TensorFlow, which takes seconds, while this process prepares the export.
    """
    # Isolated (-I): it finds this package neither in the working directory nor by PYTHONPATH. In a
    # session of its own, a Ctrl-C in the terminal does not reach it: this process decides.
    process = subprocess.Popen(
        [sys.executable, "-I", replay.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        # Reads what is left and closes the pipes.
        process.communicate()


def _example_requests(
    serving_model: ServingModel, examples: dict[str, Inputs], tolerance: float
) -> list[tuple]:
    """Returns the examples with the model's own outputs, in the form that `replay` takes."""
    requests = []
    for signature, inputs in examples.items():
        try:
            answer = serving_model.signatures[signature](**inputs)
        except tf.errors.InvalidArgumentError as error:
            raise RunError(
                f"nothing was exported: the model fails on the example of {first_line(error)}"
            ) from error
        wanted = {key: value.numpy().astype("float64") for key, value in answer.items()}
        content = {
            key: tf.make_tensor_proto(value).SerializeToString() for key, value in inputs.items()
        }
        requests.append((signature, content, wanted, tolerance))
    return requests


def _finish_replay(replaying: subprocess.Popen, folder: str, requests: list[tuple]) -> None:
    task = pickle.dumps((os.path.abspath(folder), requests))
    faults, log = replaying.communicate(task)
    if replaying.returncode:
        raise RunError(
            "nothing was exported: the saved signatures do not answer as the model does:\n"
            + (faults or log).decode(errors="replace").rstrip()
        )
