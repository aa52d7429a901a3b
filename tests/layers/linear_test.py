from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.randomness import make_seed


def test_computes_activation_of_product_plus_bias():
    layer = Linear(3, 2, activation=tf.math.tanh, seed=make_seed(0))
    rng = np.random.default_rng(0)
    x, bias = rng.normal(size=[4, 3]), rng.normal(size=[2])
    layer.bias.assign(bias)
    expected = np.tanh(x @ layer.kernel.numpy().astype(np.float64) + bias)
    y = layer(tf.constant(x, tf.float32))
    assert y.dtype == tf.float32
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_without_activation_is_affine():
    layer = Linear(2, 1, seed=make_seed(0))
    layer.kernel.assign([[2.0], [-3.0]])
    layer.bias.assign([-7.0])
    np.testing.assert_array_equal(layer(tf.constant([[1.0, 4.0]])), [[-17.0]])


def test_bfloat16_computes_in_bfloat16_from_float32_variables():
    layer = Linear(64, 5, dtype=tf.bfloat16, seed=make_seed(0))
    x = np.random.default_rng(0).normal(size=[4, 64]).astype(np.float32)
    y = layer(x)
    assert y.dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
    # bfloat16 keeps 8 bits: each product and sum is good to 2^-8.
    np.testing.assert_allclose(tf.cast(y, tf.float32), x @ layer.kernel.numpy(), atol=0.05)


def test_variables_exist_at_once_under_their_names():
    layer = Linear(3, 2, seed=make_seed(0), name="head")
    named = {variable.name: variable.shape for variable in layer.trainable_variables}
    assert named == {"head/kernel:0": [3, 2], "head/bias:0": [2]}
    np.testing.assert_array_equal(layer.bias, [0, 0])


def test_batch_size_may_be_unknown():
    layer = Linear(3, 2, seed=make_seed(0))
    traced = tf.function(layer, input_signature=[tf.TensorSpec([None, 3])])
    assert traced.get_concrete_function().output_shapes == [None, 2]
