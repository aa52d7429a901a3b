from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.linear import MaskedLinear
from vae_lowlevel.randomness import make_seed

MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0]])
X = np.random.default_rng(0).normal(size=[2, 5, 3]).astype(np.float32)


def build(activation=None):
    layer = MaskedLinear(MASK, seed=make_seed(0), activation=activation)
    layer.bias.assign([0.1, -0.2, 0.3, 0.4])
    return layer


def test_computes_with_the_connections_that_are_left():
    layer = build()
    expected = X @ (layer.kernel.numpy() * MASK) + layer.bias.numpy()
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(X)[..., 3], np.full([2, 5], 0.4), rtol=1e-6)
    np.testing.assert_allclose(build(tf.nn.relu)(X), np.maximum(expected, 0), rtol=1e-5, atol=1e-6)


def test_cut_connections_get_no_gradient():
    layer = build()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.math.square(layer(X)))
    gradient = tape.gradient(total, layer.kernel).numpy()
    np.testing.assert_array_equal(gradient != 0, MASK.astype(bool))
