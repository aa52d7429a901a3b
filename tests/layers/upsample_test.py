from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.upsample import Upsample


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_every_pixel_becomes_a_square(factor):
    x = np.random.default_rng(0).normal(size=[2, 3, 4, 5]).astype(np.float32)
    expected = x.repeat(factor, 1).repeat(factor, 2)
    np.testing.assert_array_equal(Upsample(factor)(x), expected)


def test_gradient_of_a_pixel_is_that_of_its_square():
    x = tf.ones([1, 2, 2, 1])
    weight = np.arange(16.0, dtype=np.float32).reshape(1, 4, 4, 1)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = tf.reduce_sum(weight * Upsample(2)(x))
    squares = weight.reshape(2, 2, 2, 2).sum((1, 3))
    np.testing.assert_array_equal(tape.gradient(total, x)[0, :, :, 0], squares)


def test_shape_is_known_of_an_unknown_batch():
    traced = tf.function(Upsample(2), input_signature=[tf.TensorSpec([None, 3, 4, 5])])
    assert traced.get_concrete_function().output_shapes.as_list() == [None, 6, 8, 5]
