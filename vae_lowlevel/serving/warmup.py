"""The warm-up file: requests that TensorFlow Serving answers itself before a version goes live."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.serving.example_inputs import Inputs
from vae_lowlevel.serving.prediction_log import PredictionLog

# Where TensorFlow Serving looks, within a version's folder.
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write_warmup(
    folder: str, name: str, examples: dict[str, Inputs], batch_sizes: Sequence[int]
) -> None:
    """Writes one request for each signature and batch size.

    All rows and numbers of an input are one value, which a tensor message holds once: the file
    stays small however large images and batches are.

    Args:
        folder: of the version.
        name: of the model on the server.
        examples: inputs of each signature, for their dtypes, shapes and first values.
        batch_sizes: those the server will use.
    """
    path = os.path.join(folder, WARMUP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in examples.items():
            for size in batch_sizes:
                log = PredictionLog()
                request = log.predict_log.request
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                for key, value in inputs.items():
                    tensor = _filled(value.flat[0], [size, *value.shape[1:]], value.dtype)
                    request.inputs[key].ParseFromString(tensor.SerializeToString())
                writer.write(log.SerializeToString())


def _filled(value: object, shape: list[int], dtype: np.dtype) -> tf.compat.v1.TensorProto:
    """Returns a tensor message that holds one value for all of a shape."""
    return tf.make_tensor_proto(value, tf.as_dtype(dtype), shape)


def read_warmup(folder: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields signature and inputs, as serialised `TensorProto`, of each request in the file."""
    for record in tf.data.TFRecordDataset(os.path.join(folder, WARMUP_FILE)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {key: value.SerializeToString() for key, value in request.inputs.items()}
        yield request.model_spec.signature_name, inputs
