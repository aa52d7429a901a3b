"""A SavedModel loaded and run by TensorFlow's C API, below all of TensorFlow's Python."""

import ctypes
import os

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import meta_graph_pb2


class Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


class String(ctypes.Structure):
    _fields_ = (("content", ctypes.c_uint64 * 3),)


def load_library():
    library = ctypes.CDLL(os.path.join(os.path.dirname(tf.__file__), "libtensorflow_cc.so.2"))
    for name in (
        "NewStatus",
        "NewSessionOptions",
        "NewGraph",
        "NewBuffer",
        "LoadSessionFromSavedModel",
        "AllocateTensor",
        "TensorData",
        "GraphOperationByName",
    ):
        getattr(library, f"TF_{name}").restype = ctypes.c_void_p
    library.TF_Message.restype = ctypes.c_char_p
    for name in ("Dim", "TensorByteSize"):
        getattr(library, f"TF_{name}").restype = ctypes.c_int64
    return library


class CSession:
    """`TF_LoadSessionFromSavedModel` with the tag `serve`."""

    def __init__(self, folder):
        self.lib = load_library()
        self.status = ctypes.c_void_p(self.lib.TF_NewStatus())
        options = ctypes.c_void_p(self.lib.TF_NewSessionOptions())
        self.graph = ctypes.c_void_p(self.lib.TF_NewGraph())
        buffer = ctypes.c_void_p(self.lib.TF_NewBuffer())
        tags = (ctypes.c_char_p * 1)(b"serve")
        self.session = ctypes.c_void_p(
            self.lib.TF_LoadSessionFromSavedModel(
                options, None, folder.encode(), tags, 1, self.graph, buffer, self.status
            )
        )
        self._check()
        content = ctypes.cast(buffer, ctypes.POINTER(Buffer)).contents
        self.meta_graph = meta_graph_pb2.MetaGraphDef.FromString(
            ctypes.string_at(content.data, content.length)
        )

    def run(self, signature, inputs):
        """Feeds and fetches by the tensor names of a signature; arrays in, arrays out."""
        definition = self.meta_graph.signature_def[signature]
        feeds = [self._output(definition.inputs[key].name) for key in inputs]
        values = [self._tensor(value) for value in inputs.values()]
        keys = sorted(definition.outputs)
        fetches = [self._output(definition.outputs[key].name) for key in keys]
        results = (ctypes.c_void_p * len(keys))()
        self.lib.TF_SessionRun(
            self.session,
            None,
            (Output * len(feeds))(*feeds),
            (ctypes.c_void_p * len(values))(*values),
            len(feeds),
            (Output * len(fetches))(*fetches),
            results,
            len(fetches),
            None,
            0,
            None,
            self.status,
        )
        self._check()
        return {key: self._array(result) for key, result in zip(keys, results, strict=True)}

    def _check(self):
        if self.lib.TF_GetCode(self.status):
            raise RuntimeError(self.lib.TF_Message(self.status).decode())

    def _output(self, name):
        operation, index = name.split(":")
        found = self.lib.TF_GraphOperationByName(self.graph, operation.encode())
        return Output(found, int(index))

    def _tensor(self, value):
        dtype = tf.as_dtype(value.dtype)
        size = 24 * value.size if dtype == tf.string else value.nbytes
        sizes = (ctypes.c_int64 * value.ndim)(*value.shape)
        tensor = self.lib.TF_AllocateTensor(
            dtype.as_datatype_enum, sizes, value.ndim, ctypes.c_size_t(size)
        )
        data = self.lib.TF_TensorData(ctypes.c_void_p(tensor))
        if dtype == tf.string:
            for row, content in enumerate(value):
                string = ctypes.c_void_p(data + row * ctypes.sizeof(String))
                self.lib.TF_StringInit(string)
                self.lib.TF_StringCopy(string, content, ctypes.c_size_t(len(content)))
        elif size:
            ctypes.memmove(data, np.ascontiguousarray(value).ctypes.data, size)
        return tensor

    def _array(self, tensor):
        tensor = ctypes.c_void_p(tensor)
        dtype = tf.as_dtype(self.lib.TF_TensorType(tensor)).as_numpy_dtype
        shape = [self.lib.TF_Dim(tensor, axis) for axis in range(self.lib.TF_NumDims(tensor))]
        size = self.lib.TF_TensorByteSize(tensor)
        content = ctypes.string_at(self.lib.TF_TensorData(tensor), size) if size else b""
        return np.frombuffer(content, dtype).reshape(shape)
