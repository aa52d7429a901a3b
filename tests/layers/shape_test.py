from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.shape import Crop, GlobalAveragePool, Pad, Reshape

X = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)


def test_reshape_flattens_and_gives_back():
    flat = Reshape([-1])(tf.constant(X))
    np.testing.assert_array_equal(flat, X.reshape(2, 60))
    np.testing.assert_array_equal(Reshape([3, 4, 5])(flat), X)


def test_crop_keeps_the_upper_left():
    np.testing.assert_array_equal(Crop(2, 3)(tf.constant(X)), X[:, :2, :3, :])


def test_shapes_are_known_when_the_batch_size_is_not():
    image = tf.TensorSpec([None, 3, 4, 5])

    def shape_of(layer, spec):
        return tf.function(layer).get_concrete_function(spec).output_shapes

    assert shape_of(Reshape([-1]), image) == [None, 60]
    assert shape_of(Reshape([3, 4, 5]), tf.TensorSpec([None, 60])) == [None, 3, 4, 5]
    assert shape_of(Crop(2, 3), image) == [None, 2, 3, 5]


def test_empty_batch_keeps_its_shape():
    flat = Reshape([-1])(tf.zeros([0, 3, 4, 5]))
    assert flat.shape == [0, 60]
    assert Reshape([3, 4, 5])(flat).shape == [0, 3, 4, 5]


def test_pad_adds_zeros_that_crop_takes_off():
    x = tf.random.stateless_uniform([2, 3, 4, 2], [0, 0], minval=1.0, maxval=2.0)
    padded = Pad(4, 6)(x)
    assert padded.shape == [2, 4, 6, 2]
    np.testing.assert_array_equal(Crop(3, 4)(padded), x)
    assert float(tf.reduce_sum(padded)) == pytest.approx(float(tf.reduce_sum(x)), rel=1e-6)


def test_pooling_averages_each_channel_over_the_image():
    x = np.random.default_rng(0).normal(size=[2, 3, 5, 4]).astype(np.float32)
    expected = x.reshape(2, 15, 4).astype(np.float64).mean(1)
    np.testing.assert_allclose(GlobalAveragePool()(x), expected, rtol=1e-5, atol=1e-6)


def test_pooling_sums_bfloat16_in_float32():
    # Added one by one in bfloat16, 4096 ones stop at 256.
    pooled = GlobalAveragePool()(tf.ones([1, 64, 64, 1], tf.bfloat16))
    assert pooled.dtype == tf.float32
    np.testing.assert_array_equal(pooled, [[1.0]])
