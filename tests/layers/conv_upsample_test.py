from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.conv import Conv2D, UpsampleConv2D
from vae_lowlevel.randomness import make_seed


def layers(in_channels, out_channels):
    """Returns the layer, and the convolution that computes the same from the repeated image."""
    layer = UpsampleConv2D(in_channels, out_channels, seed=make_seed(0))
    conv = Conv2D(in_channels, out_channels, kernel_size=3, seed=make_seed(0))
    bias = np.linspace(-1.0, 1.0, out_channels)
    layer.bias.assign(bias)
    conv.bias.assign(bias)
    return layer, conv


def upsample(x):
    return tf.repeat(tf.repeat(x, 2, 1), 2, 2)


def images(*shape):
    return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


@pytest.mark.parametrize("shape", [(2, 4, 3, 5), (1, 1, 1, 2), (3, 7, 7, 1)])
def test_is_the_convolution_of_the_image_with_each_pixel_repeated(shape):
    layer, conv = layers(shape[-1], 4)
    x = images(*shape)
    y = layer(x)
    assert y.shape == [shape[0], 2 * shape[1], 2 * shape[2], 4]
    np.testing.assert_allclose(y, conv(upsample(x)), rtol=1e-5, atol=1e-5)


def test_gradients_are_those_of_the_convolution():
    layer, conv = layers(5, 4)
    x, weight = images(2, 4, 3, 5), images(2, 8, 6, 4)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        found = tf.reduce_sum(weight * layer(x))
        expected = tf.reduce_sum(weight * conv(upsample(x)))
    for a, b in zip([x, *layer.variables], [x, *conv.variables], strict=True):
        np.testing.assert_allclose(
            tape.gradient(found, a), tape.gradient(expected, b), rtol=1e-4, atol=1e-4
        )


def test_initial_kernel_is_that_of_the_convolution():
    layer, conv = layers(3, 4)
    named = {variable.name: variable.shape for variable in layer.trainable_variables}
    assert named == {"upsample_conv/kernel:0": [3, 3, 3, 4], "upsample_conv/bias:0": [4]}
    np.testing.assert_array_equal(layer.kernel, conv.kernel)


def test_bfloat16_computes_in_bfloat16_from_float32_variables():
    layer = UpsampleConv2D(5, 4, dtype=tf.bfloat16, seed=make_seed(0))
    x = images(2, 4, 3, 5)
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
    _, conv = layers(5, 4)
    conv.bias.assign(layer.bias)
    np.testing.assert_allclose(tf.cast(y, tf.float32), conv(upsample(x)), atol=0.1)


def test_batch_size_may_be_unknown():
    layer = UpsampleConv2D(3, 4, seed=make_seed(0))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, 5, 8, 3])])
    assert traced.get_concrete_function().output_shapes.as_list() == [None, 10, 16, 4]
    assert traced(tf.zeros([2, 5, 8, 3])).shape == [2, 10, 16, 4]
