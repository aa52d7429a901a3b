"""What a version's folder holds: the SavedModel, checked, and what belongs to it."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys

import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.serving import replay
from vae_lowlevel.serving.examples import Inputs, make_example_inputs, write_request_examples
from vae_lowlevel.serving.server_files import BATCH_SIZES
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.serving.warmup import read_warmup, write_warmup

# Between two ways to run the same float32 graph; and where hidden layers have 8 bits.
TOLERANCES = {"float32": 1e-3, "bfloat16": 5e-2}


def write_version(
    folder: str,
    serving_model: ServingModel,
    name: str,
    *,
    precision: str = "float32",
    with_warmup: bool = True,
) -> None:
    """Saves a model and tries every signature in a process that imports TensorFlow alone.

    Args:
        folder: to fill.
        serving_model: a fresh module, built outside any strategy's scope.
        name: of the model on the server.
        precision: of its hidden layers, for the tolerance.
        with_warmup: write the warm-up file; a server that refuses XLA could not load a version
            that has both.

    Raises:
        RunError: a signature of the saved model does not answer as the model does.
    """
    with _start_replay() as replaying:
        tf.saved_model.save(serving_model, folder, signatures=serving_model.signatures)
        examples = make_example_inputs(serving_model)
        write_request_examples(folder, name, examples)
        requests = _example_requests(serving_model, examples, TOLERANCES[precision])
        if with_warmup:
            write_warmup(folder, name, examples, BATCH_SIZES)
            requests += [(*request, None, 0.0) for request in read_warmup(folder)]
        _finish_replay(replaying, folder, requests)


def _finish_replay(replaying: subprocess.Popen, folder: str, requests: list[tuple]) -> None:
    task = pickle.dumps((os.path.abspath(folder), requests))
    faults, log = replaying.communicate(task)
    if replaying.returncode:
        raise RunError(
            "the export was given up, for it does not answer as the model does:\n"
            + (faults or log).decode(errors="replace").rstrip()
        )


def _start_replay() -> subprocess.Popen:
    # Isolated (-I): neither the working directory nor PYTHONPATH offers it this package.
    return subprocess.Popen(
        [sys.executable, "-I", replay.__file__],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def _example_requests(
    serving_model: ServingModel, examples: dict[str, Inputs], tolerance: float
) -> list[tuple]:
    """Returns the examples with the model's own answers, as `replay` takes them."""
    requests = []
    for signature, inputs in examples.items():
        answer = serving_model.signatures[signature](**inputs)
        wanted = {key: value.numpy().astype("float64") for key, value in answer.items()}
        content = {
            key: tf.make_tensor_proto(value).SerializeToString() for key, value in inputs.items()
        }
        requests.append((signature, content, wanted, tolerance))
    return requests
