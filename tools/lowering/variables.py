"""A graph that changes variables, as a graph that receives and returns their values.

Without a device, TensorFlow lowers only functions without variables. The operations stay the same,
except those of variables: a read becomes the value, an assignment replaces it, and the fused Adam
becomes its formula.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

# Not public: TensorFlow offers no other way to walk through the functions of a graph.
from tensorflow.python.framework.function_def_to_graph import function_def_to_graph
from tensorflow.python.ops import handle_data_util

CALLS = ("PartitionedCall", "StatefulPartitionedCall")
LOOPS = ("While", "StatelessWhile")


class Slot(NamedTuple):
    """Stands for a variable: the index of its value."""

    index: int


def without_variables(concrete: Any) -> tuple[Any, list[tf.TensorSpec]]:
    """Returns the function of (inputs, values of variables), and the specs of these arguments.

    It returns the outputs of `concrete` and the new values of all variables.
    """
    graph = concrete.graph
    inputs = [tensor for tensor in graph.inputs if tensor.dtype != tf.resource]

    @tf.function(jit_compile=True, autograph=False)
    def pure(*arguments: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        given, slots = iter(arguments), map(Slot, itertools.count())
        bound = [next(slots if t.dtype == tf.resource else given) for t in graph.inputs]
        values = list(given)
        return run_graph(graph, bound, values), values

    specs = [tf.TensorSpec(tensor.shape, tensor.dtype) for tensor in inputs]
    return pure, [*specs, *variable_specs(graph)]


def variable_specs(graph: Any) -> list[tf.TensorSpec]:
    """Returns the specs of the variables that a function receives, in their order."""
    handles = [tensor for tensor in graph.inputs if tensor.dtype == tf.resource]
    data = [handle_data_util.get_resource_handle_data(h).shape_and_type[0] for h in handles]
    return [tf.TensorSpec(one.shape, tf.as_dtype(one.dtype)) for one in data]


def run_graph(graph: Any, inputs: Sequence[Any], values: list[tf.Tensor]) -> list[Any]:
    """Adds the operations of `graph` to the graph that is being built, in their order.

    Args:
        graph: of a function.
        inputs: tensors, or slots for variables.
        values: of the variables; assignments replace them.

    Returns:
        The outputs of `graph`: tensors or slots.
    """
    known = {tensor.ref(): value for tensor, value in zip(graph.inputs, inputs, strict=True)}
    for op in graph.get_operations():
        if op.type == "Placeholder":
            continue
        arguments = [known[tensor.ref()] for tensor in op.inputs]
        outputs = _run_operation(op, arguments, values)
        known.update(zip([tensor.ref() for tensor in op.outputs], outputs, strict=True))
    return [known[tensor.ref()] for tensor in graph.outputs]


def _run_operation(op: Any, arguments: list[Any], values: list[tf.Tensor]) -> list[Any]:
    if op.type in CALLS:
        return run_graph(inner_graph(op, "f"), arguments, values)
    if op.type in LOOPS:
        return _run_loop(op, arguments, values)
    slots = [argument for argument in arguments if isinstance(argument, Slot)]
    if not slots:
        copy = tf.compat.v1.get_default_graph().create_op(
            op.type,
            arguments,
            [tensor.dtype for tensor in op.outputs],
            name=op.type.strip("_"),
            attrs=dict(op.node_def.attr),
            op_def=op.op_def,
        )
        return copy.outputs
    index = slots[0].index
    if op.type == "ReadVariableOp":
        return [values[index]]
    if op.type == "Identity":
        return slots
    if op.type == "AssignVariableOp":
        values[index] = arguments[1]
    elif op.type == "AssignAddVariableOp":
        values[index] += arguments[1]
    elif op.type == "AssignSubVariableOp":
        values[index] -= arguments[1]
    elif op.type == "ResourceApplyAdam":
        new = _adam(*(values[slot.index] for slot in slots), *arguments[3:])
        for slot, value in zip(slots, new, strict=True):
            values[slot.index] = value
    else:
        raise ValueError(f"{op.type} changes a variable; add it to {__name__}")
    return []


def _run_loop(op: Any, arguments: list[Any], values: list[tf.Tensor]) -> list[Any]:
    """Makes the values of variables loop variables of their own."""
    condition, body = inner_graph(op, "cond"), inner_graph(op, "body")
    is_slot = [isinstance(argument, Slot) for argument in arguments]

    def bind(tensors: Sequence[tf.Tensor]) -> list[Any]:
        rest = iter(tensors)
        return [a if isinstance(a, Slot) else next(rest) for a in arguments]

    def run_condition(tensors: Sequence[tf.Tensor], current: Sequence[tf.Tensor]) -> tf.Tensor:
        return run_graph(condition, bind(tensors), list(current))[0]

    def run_body(tensors: Sequence[tf.Tensor], current: Sequence[tf.Tensor]) -> Any:
        current = list(current)
        outputs = run_graph(body, bind(tensors), current)
        return [o for o, slot in zip(outputs, is_slot, strict=True) if not slot], current

    start = [a for a, slot in zip(arguments, is_slot, strict=True) if not slot]
    tensors, values[:] = tf.while_loop(run_condition, run_body, [start, list(values)])
    return bind(tensors)


def _adam(
    w: tf.Tensor,
    m: tf.Tensor,
    v: tf.Tensor,
    power1: tf.Tensor,
    power2: tf.Tensor,
    rate: tf.Tensor,
    beta1: tf.Tensor,
    beta2: tf.Tensor,
    epsilon: tf.Tensor,
    gradient: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The formula of ResourceApplyAdam."""
    m += (1 - beta1) * (gradient - m)
    v += (1 - beta2) * (gradient * gradient - v)
    return w - rate * tf.sqrt(1 - power2) / (1 - power1) * m / (tf.sqrt(v) + epsilon), m, v


def inner_graph(op: Any, attribute: str) -> Any:
    """Returns the graph of a function that an operation calls."""
    library = {f.signature.name: f for f in op.graph.as_graph_def().library.function}
    with op.graph.as_default():
        return function_def_to_graph(
            library[op.get_attr(attribute).name], include_library_functions=True
        )
