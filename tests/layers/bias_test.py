import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.bias import add_bias
from vae_lowlevel.layers.conv import Conv2D, Conv2DTranspose, UpsampleConv2D
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.randomness import make_seed

# Twice the largest relative error of rounding once; in float32 that of a sum of 16,384 values.
TOLERANCES = {"float32": 1e-5, "bfloat16": 2.0**-7, "float16": 2.0**-10}
FORMATS = tuple(TOLERANCES)


def upstream_gradient(shape, dtype):
    """Values that mostly agree in sign, so that a sum in few digits stops growing."""
    values = np.random.default_rng(0).uniform(0.0, 0.1, size=shape)
    return tf.cast(values, dtype)


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("shape", [[3, 4], [2, 3, 3, 4]])
def test_adds_the_bias_in_the_format_of_the_input(dtype, shape):
    x = tf.cast(np.random.default_rng(0).normal(size=shape), dtype)
    bias = tf.constant([1.0, -2.0, 0.5, 0.1])
    y = add_bias(x, bias)
    assert y.dtype == x.dtype
    expected = tf.cast(tf.cast(x, tf.float32) + tf.cast(tf.cast(bias, dtype), tf.float32), dtype)
    np.testing.assert_array_equal(tf.cast(y, tf.float32), tf.cast(expected, tf.float32))


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("traced", [False, True])
def test_gradient_of_a_bias_is_the_sum_over_all_positions(dtype, traced):
    bias = tf.Variable(tf.zeros([4]))
    dy = upstream_gradient([64, 16, 16, 4], dtype)

    def gradient():
        with tf.GradientTape() as tape:
            y = add_bias(tf.zeros_like(dy), bias)
        return tape.gradient(y, bias, output_gradients=dy)

    found = tf.function(gradient)() if traced else gradient()
    expected = tf.reduce_sum(tf.cast(dy, tf.float64), [0, 1, 2])
    np.testing.assert_allclose(found, expected, rtol=TOLERANCES[dtype])


@pytest.mark.parametrize(
    "layer",
    [
        lambda: Conv2D(4, 4, kernel_size=1, seed=make_seed(0), dtype=tf.bfloat16),
        lambda: Conv2DTranspose(4, 4, kernel_size=1, seed=make_seed(0), dtype=tf.bfloat16),
        lambda: UpsampleConv2D(4, 4, seed=make_seed(0), dtype=tf.bfloat16),
        lambda: Linear(4, 4, seed=make_seed(0), dtype=tf.bfloat16),
    ],
    ids=["conv", "transposed", "up-sampled", "linear"],
)
def test_layers_in_bfloat16_have_the_whole_gradient_of_their_bias(layer):
    layer = layer()
    shape = [16384, 4] if isinstance(layer, Linear) else [64, 16, 16, 4]
    with tf.GradientTape() as tape:
        y = layer(tf.zeros(shape, tf.bfloat16))
    dy = upstream_gradient(y.shape, tf.bfloat16)
    found = tape.gradient(y, layer.bias, output_gradients=dy)
    expected = np.sum(np.reshape(tf.cast(dy, tf.float64), [-1, 4]), 0)
    np.testing.assert_allclose(found, expected, rtol=TOLERANCES["bfloat16"])
