"""Every operation in Node against TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
from pages.in_node import needs_node, run_in_node

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.pages.decoder_graph import trace_program
from vae_lowlevel.pages.operations import BINARY, REDUCTIONS, TRANSLATIONS, UNARY

raw = tf.raw_ops
generator = np.random.default_rng(0)


def normal(*shape):
    return generator.normal(size=shape).astype(np.float32)


# Of x, float32 [1, 24], with values below, between and above -1 and 1.
X = np.concatenate([np.linspace(-4.0, 4.0, 20), [0.0, 1.0, -1.0, 7.0]])[None].astype(np.float32)
POSITIVE = ("Log", "Rsqrt", "Sqrt", "Reciprocal", "Log1p")


def of_unary(name):
    def compute(x):
        if name == "LogicalNot":
            return tf.cast(tf.logical_not(x > 0.0), tf.float32)
        return getattr(raw, name)(x=tf.abs(x) + 0.1 if name in POSITIVE else x)

    # Some of the arguments have other names.
    return {
        "Elu": lambda x: raw.Elu(features=x),
        "Relu": lambda x: raw.Relu(features=x),
        "Relu6": lambda x: raw.Relu6(features=2.0 * x),
        "Selu": lambda x: raw.Selu(features=x),
        "Softplus": lambda x: raw.Softplus(features=20.0 * x),
        "Softsign": lambda x: raw.Softsign(features=x),
    }.get(name, compute)


def of_binary(name):
    def compute(x):
        left, right = tf.reshape(x, [2, 3, 4]), tf.reshape(x, [4, 3, 2])
        right = tf.transpose(right, [2, 1, 0])
        if name == "Pow":
            left = tf.abs(left) + 0.1
        if name in ("LogicalAnd", "LogicalOr"):
            left, right = left > 0.0, right > 0.0
        elif name in ("Equal", "NotEqual", "GreaterEqual", "LessEqual"):
            left, right = tf.floor(left), tf.floor(right)
        elif name in ("RealDiv", "FloorDiv"):
            right = right + tf.sign(right + 0.01)
        both = getattr(raw, name)(x=left, y=right)
        # Shapes that are broadcast: the last axis, one in the middle, a number.
        others = (
            getattr(raw, name)(x=left, y=right[:1, :1]),
            getattr(raw, name)(x=left, y=right[:, 1:2, :1]),
            getattr(raw, name)(x=left[1, 2, 3], y=right),
        )
        return tf.stack([tf.cast(value, tf.float32) for value in (both, *others)])

    return compute


def image(x):
    return tf.reshape(x, [1, 3, 4, 2])


def convolution(kernel, strides, padding, explicit=(), size=(3, 4)):
    weights = normal(*kernel, 2, 5)
    shape = [1, *size, 24 // (size[0] * size[1])]
    return lambda x: raw.Conv2D(
        input=tf.reshape(x, shape),
        filter=weights[:, :, : shape[-1]],
        strides=[1, *strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )


def transposed(kernel, strides, padding, size, explicit=()):
    weights = normal(*kernel, 5, 2)
    return lambda x: raw.Conv2DBackpropInput(
        input_sizes=[1, *size, 5],
        filter=weights,
        out_backprop=image(x),
        strides=[1, *strides, 1],
        padding=padding,
        explicit_paddings=explicit,
    )


TABLE, MATRIX, WIDE = normal(5, 3), normal(24, 7), normal(7, 24)
EXPLICIT = [0, 0, 2, 1, 0, 1, 0, 0]
CASES = {
    **{name: of_unary(name) for name in UNARY},
    **{name: of_binary(name) for name in BINARY},
    **{
        f"{name}_{'_'.join(map(str, axes))}_{keep}": (
            lambda x, name=name, axes=axes, keep=keep: getattr(raw, name)(
                input=image(x), axis=axes, keep_dims=keep
            )
        )
        for name in REDUCTIONS
        for axes, keep in [([1, 2], True), ([-1], False), ([0, 3], False), ([0, 1, 2, 3], False)]
    },
    "Add": lambda x: raw.Add(x=x, y=MATRIX[:, 0]),
    "BiasAdd": lambda x: raw.BiasAdd(value=image(x), bias=[0.5, -2.0]),
    "BroadcastTo": lambda x: tf.broadcast_to(image(x)[:, 1:2], [3, 2, 5, 4, 2]),
    "Cast_int": lambda x: tf.cast(tf.cast(1.7 * x, tf.int32), tf.float32),
    "Cast_bool": lambda x: tf.cast(tf.cast(x, tf.bool), tf.float32),
    "ConcatV2": lambda x: tf.concat([image(x)[:, :, :1], image(x), tf.ones([1, 3, 2, 2])], 2),
    "Conv2D_same": convolution((3, 3), (1, 1), "SAME"),
    "Conv2D_wide": convolution((5, 2), (1, 1), "SAME"),
    "Conv2D_stride": convolution((3, 3), (2, 3), "SAME", size=(4, 6)),
    "Conv2D_valid": convolution((2, 3), (1, 1), "VALID"),
    "Conv2D_skips": convolution((1, 1), (2, 2), "VALID"),
    "Conv2D_explicit": convolution((3, 2), (2, 1), "EXPLICIT", EXPLICIT),
    "Conv2DBackpropInput_same": transposed((3, 3), (2, 2), "SAME", (6, 8)),
    "Conv2DBackpropInput_odd": transposed((4, 3), (2, 3), "SAME", (5, 11)),
    "Conv2DBackpropInput_gaps": transposed((2, 1), (3, 2), "SAME", (9, 8)),
    "Conv2DBackpropInput_one": transposed((3, 5), (1, 1), "SAME", (3, 4)),
    "Conv2DBackpropInput_valid": transposed((3, 2), (2, 3), "VALID", (7, 11)),
    "Conv2DBackpropInput_explicit": transposed((3, 2), (2, 1), "EXPLICIT", (4, 4), EXPLICIT),
    "ExpandDims": lambda x: tf.expand_dims(image(x), 2) + tf.ones([1, 1, 3, 1, 1]),
    "GatherV2_known": lambda x: tf.gather(image(x), [[2, 0], [1, 1]], axis=2),
    "GatherV2_number": lambda x: tf.gather(image(x), 1, axis=1),
    "GatherV2_looked_up": lambda x: tf.gather(TABLE, tf.cast(tf.minimum(tf.abs(x), 4.0), tf.int32)),
    "LeakyRelu": lambda x: tf.nn.leaky_relu(x, 0.3),
    "MatMul": lambda x: x @ MATRIX,
    "MatMul_rows": lambda x: tf.reshape(x, [3, 8]) @ MATRIX[:8],
    "MatMul_transpose_b": lambda x: tf.linalg.matmul(x, WIDE, transpose_b=True),
    "MatMul_of_z": lambda x: tf.reshape(x, [3, 8]) @ tf.reshape(tf.sin(x), [8, 3]),
    "OneHot": lambda x: tf.one_hot(tf.cast(x, tf.int32), 4, 2.5, -0.5),
    "Pack": lambda x: tf.stack([image(x), 2.0 * image(x)], 2),
    "Pad": lambda x: tf.pad(image(x), [[0, 0], [1, 2], [0, 3], [0, 0]]),
    "PadV2": lambda x: tf.pad(image(x), [[0, 0], [1, 0], [2, 3], [1, 0]], constant_values=7.0),
    "Reshape": lambda x: tf.reshape(x, [2, 12]),
    "ResizeNearestNeighbor": lambda x: tf.image.resize(image(x), [7, 9], "nearest"),
    "ResizeNearestNeighbor_old": lambda x: raw.ResizeNearestNeighbor(images=image(x), size=[5, 3]),
    "ReverseV2": lambda x: tf.reverse(image(x), [1, -1]),
    "SelectV2": lambda x: tf.where(x > 0.0, x, tf.exp(x)),
    "SelectV2_broadcast": lambda x: tf.where(image(x) > 0.0, image(x)[:, :1], 3.0),
    "Slice": lambda x: tf.slice(image(x), [0, 1, 2, 0], [1, 2, -1, 1]),
    "Split": lambda x: tf.split(image(x), 2, 2)[1],
    "SplitV": lambda x: tf.concat(tf.split(image(x), [1, 2, -1], 2)[::-1], 2),
    "Squeeze": lambda x: tf.squeeze(image(x)[:, 1:2], 1),
    "StridedSlice": lambda x: image(x)[:, 1:, -1:0:-2, 0],
    "Tile": lambda x: tf.tile(image(x), [2, 1, 3, 1]),
    "Transpose": lambda x: tf.transpose(image(x), [3, 1, 0, 2]),
    "Unpack": lambda x: tf.unstack(image(x), axis=2)[3],
}


@pytest.fixture(scope="module")
def programs():
    spec = {"x": tf.TensorSpec(X.shape, tf.float32)}
    return {name: trace_program(compute, spec) for name, compute in CASES.items()}


@pytest.fixture(scope="module")
def answers(programs):
    """Node's values by case, and the names of the kernels."""
    found, kernels = run_in_node([(program, [{"x": X}]) for program in programs.values()])
    return dict(zip(CASES, found, strict=True)), kernels


@needs_node
@pytest.mark.parametrize("case", CASES)
def test_an_operation_computes_what_tensorflow_does(answers, case):
    expected = np.ravel(CASES[case](tf.constant(X)))
    assert np.ptp(expected) > 0.1 or len(expected) == 1
    np.testing.assert_allclose(answers[0][case][0], expected, rtol=2e-6, atol=2e-6)


@needs_node
def test_every_operation_and_every_kernel_is_tried(programs, answers):
    assert {name.split("_")[0] for name in CASES} >= {*UNARY, *BINARY, *TRANSLATIONS}
    used = {step["kernel"] for program in programs.values() for step in program["steps"]}
    assert used == set(answers[1])


@pytest.mark.parametrize(
    ("compute", "message"),
    [
        (lambda x: tf.math.betainc(x, x, 0.5), r"operation Betainc \(node \w+ of the decoder\)"),
        (lambda x: tf.linalg.matmul(x, x, transpose_a=True), "MatMul with transpose_a=True"),
        (
            lambda x: tf.nn.conv2d(image(x), normal(3, 3, 2, 4), 1, "SAME", dilations=2),
            r"Conv2D with dilations=\[1, 2, 2, 1\], only with \[1, 1, 1, 1\]",
        ),
        (lambda x: tf.nn.conv2d(image(x), normal(3, 3, 1, 4), 1, "SAME"), "in groups of channels"),
        (lambda x: tf.sin(tf.cast(x, tf.float16)), "Cast of float16"),
        (lambda x: tf.reshape(x, [tf.cast(x[0, 0], tf.int32), -1]), "Reshape of a size that"),
        (lambda x: tf.roll(x, 1, 1), "operation Roll"),
        (
            lambda x: tf.nn.conv2d(image(x), tf.reshape(x, [2, 3, 2, 2]), 1, "SAME"),
            "Conv2D whose input 1 depends on z or on the label",
        ),
    ],
)
def test_what_cannot_be_computed_is_refused(compute, message):
    with pytest.raises(ConfigError, match=rf"{message}.*without --explorer"):
        trace_program(compute, {"x": tf.TensorSpec(X.shape, tf.float32)})
