"""TensorFlow Serving's messages for a logged request, as its warm-up file holds them.

The package `tensorflow-serving-api` has them too, but an export must not depend on an extra. Only
the fields that a warm-up needs are declared, in a descriptor pool of their own, so that both can be
imported in one process.

References:
    tensorflow/serving, tensorflow_serving/apis/{prediction_log,predict,model}.proto.
"""

from __future__ import annotations

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

_PACKAGE = "tensorflow.serving"
_FILE = "vae_lowlevel/prediction_log.proto"
_Field = descriptor_pb2.FieldDescriptorProto


def _field(name: str, number: int, kind: str = "", *, repeated: bool = False) -> _Field:
    """Declares a field: of the message `kind`, or a string."""
    return _Field(
        name=name,
        number=number,
        label=_Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL,
        type=_Field.TYPE_MESSAGE if kind else _Field.TYPE_STRING,
        type_name=kind or None,
    )


def _build_messages() -> dict[str, type]:
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


PredictionLog = _build_messages()[f"{_PACKAGE}.PredictionLog"]
