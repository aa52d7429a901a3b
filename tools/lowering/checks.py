"""What a training step must not contain to run on a GPU or TPU, and its program for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

# Not public: what TensorFlow knows about each operation and each device.
from tensorflow.python.framework import kernels, op_def_registry

from lowering.variables import without_variables

# Stateful operations that a compiled step may have: variables, loops, and calls of functions.
ALLOWED_STATEFUL = {
    *("ReadVariableOp", "AssignVariableOp", "AssignAddVariableOp", "AssignSubVariableOp"),
    *("ResourceApplyAdam", "While", "StatefulPartitionedCall", "Placeholder"),
}
# No unit of a GPU for machine learning or of a TPU computes with 64-bit floats at full speed, and
# for complex128 TPUs have no kernel. Text stays on the host.
FORBIDDEN_TYPES = (tf.float64, tf.complex128, tf.string)
# The packages whose TensorFlow lowers for a platform.
PACKAGES = {"GPU": "tensorflow for Linux", "TPU": "tensorflow-tpu"}
# Instructions of a program that wait for the host.
HOST_INSTRUCTIONS = {"infeed", "outfeed", "send", "recv"}


class LoweringError(Exception):
    """A step that a GPU or TPU cannot run, or a TensorFlow that does not know them."""


def refusals(graph: Any) -> list[str]:
    """Returns one line for each operation that does not belong into a compiled step."""
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    forbidden = {dtype.as_datatype_enum: dtype.name for dtype in FORBIDDEN_TYPES}
    lines = []
    for node in nodes:
        is_stateful = op_def_registry.get(node.op).is_stateful
        if is_stateful and node.op not in ALLOWED_STATEFUL:
            lines.append(f"{node.op} ({node.name}) is stateful or calls the host")
        types = {attr.type for attr in node.attr.values()}
        lines += [
            f"{node.op} ({node.name}) has the type {forbidden[enum]}"
            for enum in types & set(forbidden)
        ]
    return lines


def lower_step(concrete: Any, platform: str) -> hlo_pb2.HloModuleProto:
    """Lowers a step to the program that XLA compiles for a platform.

    Args:
        concrete: the traced step.
        platform: "GPU"; "TPU" with the package `tensorflow-tpu` only.

    Raises:
        LoweringError: the step has a refused operation, one without a kernel, or a dynamic shape.
    """
    refused = refusals(concrete.graph)
    if refused:
        raise LoweringError("\n".join(refused))
    function, specs = without_variables(concrete)
    module = lower_function(function, specs, platform)
    check_program(module)
    return module


def lower_function(
    function: Any, specs: Sequence[tf.TensorSpec], platform: str
) -> hlo_pb2.HloModuleProto:
    """Lowers a function without variables."""
    compiler_ir = function.experimental_get_compiler_ir(*specs)
    try:
        program = compiler_ir(stage="hlo_serialized", platform_name=platform)
    except ValueError as error:
        if not has_kernels(platform):
            raise LoweringError(
                f"TensorFlow {tf.__version__} as installed cannot lower for a {platform}; "
                f"install {PACKAGES[platform]}"
            ) from error
        raise LoweringError(str(error)) from error
    return hlo_pb2.HloModuleProto.FromString(program)


def check_program(module: hlo_pb2.HloModuleProto) -> None:
    """Refuses instructions that wait for the host, and shapes that are known only at run time.

    Raises:
        LoweringError: names them.
    """
    instructions = [i for computation in module.computations for i in computation.instructions]
    dynamic = [i.name for i in instructions if any(i.shape.is_dynamic_dimension)]
    if dynamic:
        raise LoweringError(f"shapes that only the data determine: {', '.join(dynamic)}")
    waiting = [i.name for i in instructions if i.opcode in HOST_INSTRUCTIONS]
    if waiting:
        raise LoweringError(f"the program waits for the host: {', '.join(waiting)}")


def has_kernels(platform: str) -> bool:
    """Whether this TensorFlow can lower for a platform at all: it then has a matrix product.

    TensorFlow registers what it lowers with at its first lowering.
    """
    registered = kernels.get_registered_kernels_for_op("MatMul").kernel
    return any(kernel.device_type == f"XLA_{platform}_JIT" for kernel in registered)
