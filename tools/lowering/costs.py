"""Operations and bytes of a lowered step, and the least time that devices need for them.

Counted are the products: matrix products and convolutions. All else is taken to be computed for
free while their results are written.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.compiler.xla import xla_data_pb2
from tensorflow.compiler.xla.service import hlo_pb2

SIZES = {xla_data_pb2.BF16: 2, xla_data_pb2.F32: 4}


class Device(NamedTuple):
    """Peaks of a device, from its data sheet.

    Attributes:
        name: of the device.
        bfloat16: operations per second with bfloat16 operands.
        float32: the same with float32 operands, as TensorFlow multiplies them by default.
        bandwidth: bytes per second of its memory.
    """

    name: str
    bfloat16: float
    float32: float
    bandwidth: float


DEVICES = (
    # Dense; float32 operands as TF32, TensorFlow's default.
    Device("H100 SXM", 989e12, 494e12, 3.35e12),
    # TPUs multiply float32 operands rounded to bfloat16 by default.
    Device("TPU v5e", 197e12, 197e12, 819e9),
    Device("TPU v4", 275e12, 275e12, 1228e9),
)


class Costs(NamedTuple):
    """What a step computes and moves.

    Attributes:
        products: number of matrix products and convolutions.
        bfloat16_flops: their operations with bfloat16 operands, two per multiplication.
        float32_flops: the same with float32 operands.
        bytes: operands and results of all products, and the state read and written once.
    """

    products: int
    bfloat16_flops: int
    float32_flops: int
    bytes: int

    @property
    def flops(self) -> int:
        """Operations with operands of any type."""
        return self.bfloat16_flops + self.float32_flops

    def seconds(self, device: Device) -> tuple[float, str]:
        """Returns the least time of a step, and what it is limited by: "compute" or "memory"."""
        compute = self.bfloat16_flops / device.bfloat16 + self.float32_flops / device.float32
        memory = self.bytes / device.bandwidth
        return max((compute, "compute"), (memory, "memory"))


def count_costs(module: hlo_pb2.HloModuleProto, state: Sequence[tf.TensorSpec]) -> Costs:
    """Counts one step.

    Args:
        module: the lowered step: at most one loop around its products, which is that over steps.
        state: specs of the variables.

    Raises:
        ValueError: there are products within a loop of the step, whose length is not known, or of
            other types than bfloat16 and float32.
    """
    computations = {computation.id: computation for computation in module.computations}
    flops: Counter[int] = Counter()
    totals = Counter()

    def visit(computation: Any, loops: int) -> None:
        shapes = {i.id: i.shape for i in computation.instructions}
        used = {computation.root_id}
        # Operands come before what uses them.
        for instruction in reversed(computation.instructions):
            if instruction.id not in used:
                continue
            used.update(instruction.operand_ids)
            inner = loops + (instruction.opcode == "while")
            for called in instruction.called_computation_ids:
                visit(computations[called], inner)
            if instruction.opcode not in ("dot", "convolution"):
                continue
            if loops > 1:
                raise ValueError(f"{instruction.name} is in a loop of unknown length")
            operands = [shapes[id_] for id_ in instruction.operand_ids]
            tensors = [*operands, instruction.shape]
            if not {tensor.element_type for tensor in tensors} <= set(SIZES):
                raise ValueError(f"{instruction.name} is neither of bfloat16 nor of float32")
            count = _dot_flops if instruction.opcode == "dot" else _convolution_flops
            flops[operands[0].element_type] += count(instruction, *operands)
            totals["products"] += 1
            totals["bytes"] += sum(map(_bytes, tensors))

    visit(computations[module.entry_computation_id], 0)
    state_bytes = sum(math.prod(spec.shape) * spec.dtype.size for spec in state)
    return Costs(
        totals["products"],
        flops[xla_data_pb2.BF16],
        flops[xla_data_pb2.F32],
        totals["bytes"] + 2 * state_bytes,
    )


def _bytes(shape: Any) -> int:
    return math.prod(shape.dimensions) * SIZES[shape.element_type]


def _dot_flops(instruction: Any, left: Any, right: Any) -> int:
    del right
    contracted = instruction.dot_dimension_numbers.lhs_contracting_dimensions
    inner = math.prod(left.dimensions[axis] for axis in contracted)
    return 2 * inner * math.prod(instruction.shape.dimensions)


def _convolution_flops(instruction: Any, image: Any, kernel: Any) -> int:
    """Returns the operations without products with the zeros of padding and dilation."""
    axes = instruction.convolution_dimension_numbers
    positions = 1
    for window, image_axis, output_axis in zip(
        instruction.window.dimensions,
        axes.input_spatial_dimensions,
        axes.output_spatial_dimensions,
        strict=True,
    ):
        positions *= _valid_positions(
            window, image.dimensions[image_axis], instruction.shape.dimensions[output_axis]
        )
    batch = image.dimensions[axes.input_batch_dimension] // max(1, instruction.batch_group_count)
    channels = kernel.dimensions[axes.kernel_input_feature_dimension]
    filters = kernel.dimensions[axes.kernel_output_feature_dimension]
    return 2 * batch * channels * filters * positions


def _valid_positions(window: Any, size: int, outputs: int) -> int:
    """Counts pairs of an output and a weight, along one axis, that multiply a pixel."""
    last = (size - 1) * window.base_dilation
    places = (
        output * window.stride - window.padding_low + tap * window.window_dilation
        for output in range(outputs)
        for tap in range(window.size)
    )
    return sum(0 <= place <= last and place % window.base_dilation == 0 for place in places)
