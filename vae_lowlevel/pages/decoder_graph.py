"""Writes a decoder as a program that a page can run.

A program is JSON:

    {
      "inputs": {"z": [1, D], "label": [1]},
      "constants": [{"shape": [D, 256], "data": "<base64>"}, ...],
      "steps": [
        {"kernel": "MatMul", "inputs": [0, 2], "shape": [1, 256], "transpose_b": false}, ...
      ],
      "output": 31
    }

Tensors have numbers: first the inputs, then the constants, then the results of the steps, which are
computed in order. `data` are the constant's values in C order as float32, little-endian; integers
and booleans are float32 too. `shape` is that of the step's result. What else a step has are the
settings of its kernel; see `operations.py` for the kernels and `graph.js` for what they compute.

The program is made from TensorFlow's own graph for one row, with the variables as constants and
everything computed that does not depend on z or the label. So it does not matter which network the
decoder is: one that is added to the package later needs nothing here.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.pages.kernels import Kernel, Source
from vae_lowlevel.pages.operations import COPIES, translate
from vae_lowlevel.types import Model

# Browsers limit the length of a text to about 512 MB, and base64 has 4 bytes for 3.
MOST_BYTES = 256 * 2**20

DTYPES = (tf.float32, tf.int32, tf.int64, tf.bool)


def decoder_program(model: Model) -> dict[str, Any]:
    """Returns the program of a model's decoder: z, and a label if it takes any -> the mean image.

    Args:
        model: a model in float32.

    Returns:
        The program, with the inputs `z` [1, D] and, for a conditional model, `label` [1]. Its
        output is the mean image of p(x|z), [1, H, W, C].

    Raises:
        ConfigError: the decoder uses an operation that pages cannot compute, or it is too large.
    """
    inputs = {"z": tf.TensorSpec([1, model.latent_dim], tf.float32)}
    if model.num_classes:
        inputs["label"] = tf.TensorSpec([1], tf.int32)

    def decode(z: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        return model.conditioned_on(label).decode(z).mean()

    return trace_program(decode, inputs)


def trace_program(
    compute: Callable[..., tf.Tensor], inputs: Mapping[str, tf.TensorSpec]
) -> dict[str, Any]:
    """Returns the program of a function.

    Args:
        compute: of tensors, in the order of `inputs`; returns one tensor.
        inputs: their shapes, which are known, and dtypes by name.

    Raises:
        ConfigError: as `decoder_program`.
    """
    named = [tf.TensorSpec(spec.shape, spec.dtype, name) for name, spec in inputs.items()]
    function = tf.function(compute, autograph=False).get_concrete_function(*named)
    frozen = convert_variables_to_constants_v2(function)
    return _Writer(frozen, {name: spec.shape.as_list() for name, spec in inputs.items()}).write()


class _Writer:
    """Writes the program of a function without variables.

    Args:
        frozen: the function.
        inputs: shapes by name, in the order of its inputs.
    """

    def __init__(self, frozen: Any, inputs: dict[str, list[int]]) -> None:
        self._inputs = inputs
        self._output = _origin(frozen.outputs[0])
        # Tensors by their names from here on: two tensors cannot be compared.
        self._numbers = {tensor.name: n for n, tensor in enumerate(frozen.inputs)}
        self._operations = _in_order(self._output.op)
        self._varying = self._find_varying()
        self._constants = self._evaluate(frozen)

    def write(self) -> dict[str, Any]:
        """Returns the program."""
        kernels = [
            (tensor, self._translate(operation, number))
            for operation in self._operations
            if operation.type not in ("Placeholder", *COPIES)
            for number, tensor in enumerate(operation.outputs)
            if tensor.name in self._varying
        ]
        read = [
            _origin(tensor.op.inputs[number]).name
            for tensor, kernel in kernels
            for number in kernel.inputs
        ]
        used = [name for name in [*read, self._output.name] if name in self._constants]
        for name in [*dict.fromkeys(used), *(tensor.name for tensor, _ in kernels)]:
            self._numbers[name] = len(self._numbers)
        return {
            "inputs": self._inputs,
            "constants": _encode({name: self._constants[name] for name in used}),
            "steps": [self._step(tensor, kernel) for tensor, kernel in kernels],
            "output": self._numbers[self._output.name],
        }

    def _find_varying(self) -> set[str]:
        """Returns the names of the tensors that depend on the inputs."""
        varying = set(self._numbers)
        for operation in self._operations:
            if any(_origin(tensor).name in varying for tensor in operation.inputs):
                varying |= {tensor.name for tensor in operation.outputs}
        return varying

    def _evaluate(self, frozen: Any) -> dict[str, np.ndarray]:
        """Returns the values of the other tensors that are needed, by name."""
        needed = [
            _origin(tensor)
            for operation in self._operations
            if any(output.name in self._varying for output in operation.outputs)
            for tensor in operation.inputs
        ]
        names = {tensor.name for tensor in [*needed, self._output]} - self._varying
        if not names:
            return {}
        values = frozen.prune([], {name: name for name in sorted(names)})()
        return {name: value.numpy() for name, value in values.items()}

    def _translate(self, operation: tf.Operation, output: int) -> Kernel:
        origins = [_origin(tensor).name for tensor in operation.inputs]
        constants = {n: self._constants[o] for n, o in enumerate(origins) if o in self._constants}
        source = Source(operation, constants, output)
        for tensor in (*operation.inputs, operation.outputs[output]):
            if tensor.dtype not in DTYPES:
                raise source.refusal(f"of {tensor.dtype.name}")
            if not tensor.shape.is_fully_defined():
                raise source.refusal("of a size that depends on z or on the label")
        return translate(source)

    def _step(self, tensor: tf.Tensor, kernel: Kernel) -> dict[str, Any]:
        inputs = [_origin(tensor.op.inputs[number]).name for number in kernel.inputs]
        return {
            "kernel": kernel.name,
            "inputs": [self._numbers[name] for name in inputs],
            "shape": tensor.shape.as_list(),
            **kernel.settings,
        }


def _origin(tensor: tf.Tensor) -> tf.Tensor:
    """Returns the tensor that a tensor is a copy of."""
    while tensor.op.type in COPIES:
        tensor = tensor.op.inputs[tensor.value_index]
    return tensor


def _in_order(last: tf.Operation) -> list[tf.Operation]:
    """Returns the operations that one depends on, each after its inputs, and itself."""
    done: dict[str, tf.Operation] = {}
    open_operations = [last]
    while open_operations:
        operation = open_operations[-1]
        missing = [t.op for t in operation.inputs if t.op.name not in done]
        if missing:
            open_operations += missing
        else:
            done.setdefault(open_operations.pop().name, operation)
    return list(done.values())


def _encode(constants: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    size = sum(4 * math.prod(value.shape) for value in constants.values())
    if size > MOST_BYTES:
        raise ConfigError(
            f"the decoder has {size / 2**20:.0f} MiB of weights, and a page can hold "
            f"{MOST_BYTES / 2**20:.0f} MiB: write the report without --explorer"
        )
    return [
        {
            "shape": list(value.shape),
            "data": base64.b64encode(value.astype("<f4").tobytes()).decode(),
        }
        for value in constants.values()
    ]
