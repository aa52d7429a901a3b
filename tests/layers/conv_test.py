from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.conv import Conv2D
from vae_lowlevel.randomness import make_seed


def naive_conv(x, kernel, stride):
    """Convolves [B, H, W, in] by [k, k, in, out] with SAME padding, by its definition."""
    batch, height, width, _ = x.shape
    size, _, _, out_channels = kernel.shape
    out_height, out_width = math.ceil(height / stride), math.ceil(width / stride)
    # SAME: the least padding for this size; an odd one is below and to the right.
    top = max((out_height - 1) * stride + size - height, 0) // 2
    left = max((out_width - 1) * stride + size - width, 0) // 2
    y = np.zeros([batch, out_height, out_width, out_channels])
    for i, j, u, v in np.ndindex(out_height, out_width, size, size):
        row, column = i * stride + u - top, j * stride + v - left
        if 0 <= row < height and 0 <= column < width:
            y[:, i, j] += x[:, row, column] @ kernel[u, v]
    return y


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (6, 4), (1, 2)])
def test_matches_the_definition(kernel_size, stride, height, width):
    layer = Conv2D(2, 3, kernel_size=kernel_size, stride=stride, seed=make_seed(0))
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=[2, height, width, 2]), rng.normal(size=[3])
    layer.bias.assign(bias)
    y = layer(tf.constant(x, tf.float32))
    assert y.dtype == tf.float32
    np.testing.assert_allclose(
        y, naive_conv(x, layer.kernel.numpy(), stride) + bias, rtol=1e-4, atol=1e-5
    )


def test_activation_comes_after_the_bias():
    layer = Conv2D(1, 1, kernel_size=1, activation=tf.nn.relu, seed=make_seed(0))
    layer.kernel.assign([[[[2.0]]]])
    layer.bias.assign([-3.0])
    y = layer(tf.reshape([1.0, 2.0], [1, 1, 2, 1]))
    np.testing.assert_array_equal(tf.reshape(y, [-1]), [0.0, 1.0])


def test_bfloat16_computes_in_bfloat16_from_float32_variables():
    layer = Conv2D(3, 4, kernel_size=3, stride=2, dtype=tf.bfloat16, seed=make_seed(0))
    x = np.random.default_rng(0).uniform(size=[2, 5, 5, 3]).astype(np.float32)
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
    # bfloat16 keeps 8 bits: each product and sum is good to 2^-8.
    expected = naive_conv(x, layer.kernel.numpy(), 2)
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, atol=0.05)


def test_variables_exist_at_once_under_their_names():
    layer = Conv2D(3, 4, kernel_size=5, seed=make_seed(0), name="conv_0")
    named = {variable.name: variable.shape for variable in layer.trainable_variables}
    assert named == {"conv_0/kernel:0": [5, 5, 3, 4], "conv_0/bias:0": [4]}
    np.testing.assert_array_equal(layer.bias, [0] * 4)


def test_batch_size_may_be_unknown():
    layer = Conv2D(3, 4, kernel_size=3, stride=2, seed=make_seed(0))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, 5, 8, 3])])
    assert traced.get_concrete_function().output_shapes == [None, 3, 4, 4]
