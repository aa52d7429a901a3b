from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.conv import Conv2D, Conv2DTranspose
from vae_lowlevel.randomness import make_seed


def naive_conv_transpose(x, kernel, stride):
    """Spreads each pixel of [B, H, W, in] by [k, k, out, in] over an image `stride` x as large."""
    batch, height, width, _ = x.shape
    size, _, out_channels, _ = kernel.shape
    out_height, out_width = height * stride, width * stride
    # The padding of the convolution that maps the large image to the small one.
    before = max(size - stride, 0) // 2
    y = np.zeros([batch, out_height, out_width, out_channels])
    for i, j, u, v in np.ndindex(height, width, size, size):
        row, column = i * stride + u - before, j * stride + v - before
        if 0 <= row < out_height and 0 <= column < out_width:
            y[:, row, column] += x[:, i, j] @ kernel[u, v].T
    return y


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_matches_the_definition(kernel_size, stride):
    layer = Conv2DTranspose(2, 3, kernel_size=kernel_size, stride=stride, seed=make_seed(0))
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=[2, 3, 4, 2]), rng.normal(size=[3])
    layer.bias.assign(bias)
    y = layer(tf.constant(x, tf.float32))
    assert y.dtype == tf.float32
    np.testing.assert_allclose(
        y, naive_conv_transpose(x, layer.kernel.numpy(), stride) + bias, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("kernel_size", [1, 2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_is_the_adjoint_of_the_convolution(kernel_size, stride):
    conv = Conv2D(3, 2, kernel_size=kernel_size, stride=stride, seed=make_seed(1))
    transpose = Conv2DTranspose(2, 3, kernel_size=kernel_size, stride=stride, seed=make_seed(2))
    transpose.kernel.assign(conv.kernel)
    rng = np.random.default_rng(0)
    image = tf.constant(rng.normal(size=[1, 3 * stride, 4 * stride, 3]), tf.float32)
    feature_map = tf.constant(rng.normal(size=[1, 3, 4, 2]), tf.float32)
    # <conv(image), map> = <image, transpose(map)>
    np.testing.assert_allclose(
        tf.reduce_sum(conv(image) * feature_map),
        tf.reduce_sum(image * transpose(feature_map)),
        rtol=1e-4,
        atol=1e-4,
    )


def test_activation_comes_after_the_bias():
    layer = Conv2DTranspose(1, 1, kernel_size=1, activation=tf.nn.relu, seed=make_seed(0))
    layer.kernel.assign([[[[2.0]]]])
    layer.bias.assign([-3.0])
    y = layer(tf.reshape([1.0, 2.0], [1, 1, 2, 1]))
    np.testing.assert_array_equal(tf.reshape(y, [-1]), [0.0, 1.0])


def test_bfloat16_computes_in_bfloat16_from_float32_variables():
    layer = Conv2DTranspose(4, 3, kernel_size=3, stride=2, dtype=tf.bfloat16, seed=make_seed(0))
    x = np.random.default_rng(0).uniform(size=[2, 3, 3, 4]).astype(np.float32)
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
    # bfloat16 keeps 8 bits: each product and sum is good to 2^-8.
    expected = naive_conv_transpose(x, layer.kernel.numpy(), 2)
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected, atol=0.05)


def test_variables_exist_at_once_under_their_names():
    layer = Conv2DTranspose(3, 4, kernel_size=5, seed=make_seed(0), name="up")
    named = {variable.name: variable.shape for variable in layer.trainable_variables}
    assert named == {"up/kernel:0": [5, 5, 4, 3], "up/bias:0": [4]}
    np.testing.assert_array_equal(layer.bias, [0] * 4)


def test_batch_size_may_be_unknown():
    layer = Conv2DTranspose(3, 4, kernel_size=3, stride=2, seed=make_seed(0))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, 5, 8, 3])])
    assert traced.get_concrete_function().output_shapes == [None, 10, 16, 4]
    assert traced(tf.zeros([2, 5, 8, 3])).shape == [2, 10, 16, 4]
