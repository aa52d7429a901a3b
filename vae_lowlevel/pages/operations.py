"""The operations of TensorFlow that pages can compute, in terms of the kernels of `graph.js`.

A shape, an axis or an index is a setting of a kernel: it is known when the page is written, and
never computed in the page.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.pages.kernels import Kernel, Source


def translate(source: Source) -> Kernel:
    """Returns the kernel that computes an output of an operation.

    Raises:
        ConfigError: there is none.
    """
    kind = source.operation.type
    if kind in UNARY or kind in BINARY or kind == "SelectV2":
        return Kernel(kind, range(len(source.operation.inputs)), {})
    if kind not in TRANSLATIONS:
        raise source.refusal()
    return TRANSLATIONS[kind](source)


# Applied to each value, or to pairs of values of shapes that are broadcast; TensorFlow's names.
UNARY = (
    *("Abs", "Ceil", "Cos", "Elu", "Erf", "Erfc", "Exp", "Expm1", "Floor", "Log", "Log1p"),
    *("LogicalNot", "Neg", "Reciprocal", "Relu", "Relu6", "Rsqrt", "Selu", "Sigmoid", "Sign"),
    *("Sin", "Softplus", "Softsign", "Sqrt", "Square", "Tanh"),
)
BINARY = (
    *("AddV2", "Equal", "FloorDiv", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd"),
    *("LogicalOr", "Maximum", "Minimum", "Mul", "NotEqual", "Pow", "RealDiv"),
    *("SquaredDifference", "Sub"),
)
REDUCTIONS = ("Max", "Mean", "Min", "Sum")
# Outputs that are inputs: output i is input i.
COPIES = ("Identity", "IdentityN", "PreventGradient", "Snapshot", "StopGradient")


def _bias_add(source: Source) -> Kernel:
    source.require("data_format", "NHWC")
    return Kernel("AddV2", (0, 1), {})


def _cast(source: Source) -> Kernel:
    return Kernel("Cast", (0,), {"to": source.operation.outputs[0].dtype.name})


def _concat(source: Source) -> Kernel:
    *parts, axis = range(len(source.operation.inputs))
    return Kernel("Concat", parts, {"axis": int(source.constant(axis)) % len(source.shape)})


def _convolution(source: Source) -> Kernel:
    source.require("data_format", "NHWC")
    source.require("dilations", [1, 1, 1, 1])
    source.constant(1)
    _, height, width, channels = source.input_shape()
    rows, columns, kernel_channels, _ = source.input_shape(1)
    if channels != kernel_channels:
        raise source.refusal("in groups of channels")
    padding = _padding(source, (height, width), source.shape[1:3], (rows, columns))
    return Kernel("Conv2D", (0, 1), {"strides": source.attribute("strides")[1:3], **padding})


def _transposed_convolution(source: Source) -> Kernel:
    # Its inputs are the size of the result, the kernel and the image.
    source.require("data_format", "NHWC")
    source.require("dilations", [1, 1, 1, 1])
    source.constant(1)
    padding = _padding(source, source.shape[1:3], source.input_shape(2)[1:3], source.input_shape(1))
    settings = {"strides": source.attribute("strides")[1:3], **padding}
    return Kernel("Conv2DTranspose", (2, 1), settings)


def _padding(
    source: Source, large: Sequence[int], small: Sequence[int], kernel: Sequence[int]
) -> dict[str, list[int]]:
    """Returns the zeros above and to the left of a convolution's input.

    Args:
        source: the convolution, from `large` to `small`, or its transpose.
        large: height and width.
        small: height and width.
        kernel: height, width, ...
    """
    kind = source.attribute("padding")
    if kind == "VALID":
        return {"padding": [0, 0]}
    if kind == "EXPLICIT":
        return {"padding": source.attribute("explicit_paddings")[2:7:2]}
    strides = source.attribute("strides")[1:3]
    sizes = zip(large, small, kernel, strides, strict=False)
    return {"padding": [max((b - 1) * step + k - a, 0) // 2 for a, b, k, step in sizes]}


def _gather(source: Source) -> Kernel:
    axis = int(source.constant(2))
    source.require("batch_dims", 0)
    if source.is_constant(1):
        indices = _all_of(source)
        indices[axis] = source.constant(1).ravel()
        return _take(indices)
    if axis != 0:
        raise source.refusal(f"on axis {axis}, with indices that depend on the label")
    return Kernel("Gather", (0, 1), {})


def _leaky_relu(source: Source) -> Kernel:
    return Kernel("LeakyRelu", (0,), {"alpha": source.attribute("alpha")})


def _matmul(source: Source) -> Kernel:
    source.require("transpose_a", False)
    return Kernel("MatMul", (0, 1), {"transpose_b": source.attribute("transpose_b")})


def _one_hot(source: Source) -> Kernel:
    source.require("axis", -1, len(source.shape) - 1)
    on, off = (float(source.constant(number)) for number in (2, 3))
    return Kernel("OneHot", (0,), {"on": on, "off": off})


def _pack(source: Source) -> Kernel:
    axis = source.attribute("axis") % len(source.shape)
    return Kernel("Concat", range(len(source.operation.inputs)), {"axis": axis})


def _pad(source: Source) -> Kernel:
    value = float(source.constant(2)) if len(source.operation.inputs) > 2 else 0.0
    return Kernel("Pad", (0,), {"before": source.constant(1)[:, 0].tolist(), "value": value})


def _reduce(source: Source) -> Kernel:
    rank = len(source.input_shape())
    axes = sorted({int(axis) % rank for axis in source.constant(1).ravel()})
    return Kernel(source.operation.type, (0,), {"axes": axes})


def _reshape(source: Source) -> Kernel:
    return Kernel("Reshape", (0,), {})


def _resize_nearest(source: Source) -> Kernel:
    indices = _all_of(source)
    for axis in (1, 2):
        # Of a row of pixels that hold their numbers.
        size, wanted = source.input_shape()[axis], source.shape[axis]
        numbers = tf.raw_ops.ResizeNearestNeighbor(
            images=tf.reshape(tf.range(size, dtype=tf.float32), [1, size, 1, 1]),
            size=[wanted, 1],
            align_corners=source.attribute("align_corners"),
            half_pixel_centers=source.attribute("half_pixel_centers"),
        )
        indices[axis] = numbers.numpy().ravel().astype(int)
    return _take(indices)


def _reverse(source: Source) -> Kernel:
    indices = _all_of(source)
    for axis in source.constant(1):
        indices[axis] = indices[axis][::-1]
    return _take(indices)


def _slice(source: Source) -> Kernel:
    begin, sizes = source.constant(1), source.shape
    return _take([np.arange(a, a + b) for a, b in zip(begin, sizes, strict=True)])


def _split(source: Source) -> Kernel:
    # The axis is the first input of Split and the last one of SplitV, after the sizes.
    has_sizes = source.operation.type == "SplitV"
    number, axis = (0, 2) if has_sizes else (1, 0)
    axis = int(source.constant(axis)) % len(source.shape)
    first = sum(part.shape[axis] for part in source.operation.outputs[: source.output])
    indices = _all_of(source, number)
    indices[axis] = np.arange(first, first + source.shape[axis])
    return _take(indices, number)


def _strided_slice(source: Source) -> Kernel:
    source.require("ellipsis_mask", 0)
    source.require("new_axis_mask", 0)
    indices = _all_of(source)
    masks = [source.attribute(name) for name in ("begin_mask", "end_mask", "shrink_axis_mask")]
    bounds = zip(*(source.constant(number) for number in (1, 2, 3)), strict=True)
    for axis, (begin, end, step) in enumerate(bounds):
        no_begin, no_end, shrink = (bool(mask & 1 << axis) for mask in masks)
        if shrink:
            indices[axis] = indices[axis][[begin]]
        else:
            part = slice(None if no_begin else begin, None if no_end else end, step)
            indices[axis] = indices[axis][part]
    return _take(indices)


def _tile(source: Source) -> Kernel:
    repeats = zip(_all_of(source), source.constant(1), strict=True)
    return _take([np.tile(indices, count) for indices, count in repeats])


def _transpose(source: Source) -> Kernel:
    return Kernel("Transpose", (0,), {"order": source.constant(1).tolist()})


def _unpack(source: Source) -> Kernel:
    indices = _all_of(source)
    indices[source.attribute("axis")] = np.array([source.output])
    return _take(indices)


def _broadcast(source: Source) -> Kernel:
    sizes = [1] * (len(source.shape) - len(source.input_shape())) + source.input_shape()
    pairs = zip(sizes, source.shape, strict=True)
    return _take([np.zeros(b, int) if a == 1 else np.arange(b) for a, b in pairs])


def _all_of(source: Source, number: int = 0) -> list[np.ndarray]:
    """Returns all indices of each axis of an input."""
    return [np.arange(size) for size in source.input_shape(number)]


def _take(indices: Sequence[np.ndarray], number: int = 0) -> Kernel:
    """Returns the kernel for `x[np.ix_(*indices)]` of an input x."""
    return Kernel("Take", (number,), {"indices": [axis.tolist() for axis in indices]})


TRANSLATIONS: dict[str, Callable[[Source], Kernel]] = {
    "Add": lambda source: Kernel("AddV2", (0, 1), {}),
    "BiasAdd": _bias_add,
    "BroadcastTo": _broadcast,
    "Cast": _cast,
    "ConcatV2": _concat,
    "Conv2D": _convolution,
    "Conv2DBackpropInput": _transposed_convolution,
    "ExpandDims": _reshape,
    "GatherV2": _gather,
    "LeakyRelu": _leaky_relu,
    "MatMul": _matmul,
    "OneHot": _one_hot,
    "Pack": _pack,
    "Pad": _pad,
    "PadV2": _pad,
    "Reshape": _reshape,
    "ResizeNearestNeighbor": _resize_nearest,
    "ReverseV2": _reverse,
    "Slice": _slice,
    "Split": _split,
    "SplitV": _split,
    "Squeeze": _reshape,
    "StridedSlice": _strided_slice,
    "Tile": _tile,
    "Transpose": _transpose,
    "Unpack": _unpack,
    **dict.fromkeys(REDUCTIONS, _reduce),
}
