"""The warm-up file: requests that TensorFlow Serving computes before it serves a version.

Its messages are declared here because an export must not depend on the extra package
`tensorflow-serving-api`. Only the fields that a warm-up needs are declared, in a descriptor pool of
their own, so that both packages can be imported in one process.

References:
    tensorflow/serving, tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from vae_lowlevel.serving.examples import Inputs

# Where TensorFlow Serving looks for it, within a version's folder.
WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")

_PACKAGE = "tensorflow.serving"
_FILE = "vae_lowlevel/prediction_log.proto"
_Field = descriptor_pb2.FieldDescriptorProto


def _field(name: str, number: int, kind: str = "", *, repeated: bool = False) -> _Field:
    """Declares a field: a message of type `kind`, or a string."""
    return _Field(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE if kind else _Field.TYPE_STRING,
        type_name=kind or None,
    )


def _declare_messages() -> dict[str, type]:
    """Returns the message classes by full name."""
    pool = descriptor_pool.DescriptorPool()
    _add_with_dependencies(pool, tensor_pb2.DESCRIPTOR)
    file = descriptor_pb2.FileDescriptorProto(name=_FILE, package=_PACKAGE, syntax="proto3")
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)

    def declare(name: str, *fields: _Field) -> descriptor_pb2.DescriptorProto:
        return file.message_type.add(name=name, field=fields)

    declare("ModelSpec", _field("name", 1), _field("signature_name", 3))
    request = declare(
        "PredictRequest",
        _field("model_spec", 1, f".{_PACKAGE}.ModelSpec"),
        _field("inputs", 2, f".{_PACKAGE}.PredictRequest.InputsEntry", repeated=True),
    )
    # map<string, TensorProto> inputs = 2;
    entry = request.nested_type.add(
        name="InputsEntry",
        field=[_field("key", 1), _field("value", 2, ".tensorflow.TensorProto")],
    )
    entry.options.map_entry = True
    declare("PredictLog", _field("request", 1, f".{_PACKAGE}.PredictRequest"))
    declare("PredictionLog", _field("predict_log", 6, f".{_PACKAGE}.PredictLog"))
    pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClassesForFiles([_FILE], pool)


def _add_with_dependencies(pool: descriptor_pool.DescriptorPool, file: object) -> None:
    for dependency in file.dependencies:
        _add_with_dependencies(pool, dependency)
    pool.AddSerializedFile(file.serialized_pb)


PredictionLog = _declare_messages()[f"{_PACKAGE}.PredictionLog"]


def write_warmup(
    folder: str, name: str, examples: dict[str, Inputs], batch_sizes: Sequence[int]
) -> None:
    """Writes one request per signature and batch size.

    All elements of an input have the same value, which a tensor message holds once, so the file
    stays small for large images and batches.

    Args:
        folder: the version's folder.
        name: name of the model on the server.
        examples: inputs of each signature, for their dtypes, shapes and first values.
        batch_sizes: the batch sizes that the server will use.
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
                    # One value for the whole shape.
                    shape, dtype = [size, *value.shape[1:]], tf.as_dtype(value.dtype)
                    tensor = tf.make_tensor_proto(value.flat[0], dtype, shape)
                    request.inputs[key].ParseFromString(tensor.SerializeToString())
                writer.write(log.SerializeToString())


def read_warmup(folder: str) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yields the signature and the inputs, serialised `TensorProto`, of each request."""
    for record in tf.data.TFRecordDataset(os.path.join(folder, WARMUP_FILE)):
        request = PredictionLog.FromString(record.numpy()).predict_log.request
        inputs = {key: value.SerializeToString() for key, value in request.inputs.items()}
        yield request.model_spec.signature_name, inputs
