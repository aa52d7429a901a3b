from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.special import expit

from vae_lowlevel.layers.linear import GatedLinear, Linear, MaskedLinear
from vae_lowlevel.randomness import make_seed

MASK = np.array([[1, 0, 1, 0], [0, 1, 1, 0], [1, 1, 0, 0]])
X = np.random.default_rng(0).normal(size=[2, 5, 3]).astype(np.float32)


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


def test_gated_computes_the_value_times_the_sigmoid_of_the_gate():
    layer = GatedLinear(3, 2, activation=tf.math.tanh, seed=make_seed(0))
    rng = np.random.default_rng(0)
    x, value_bias, gate_bias = rng.normal(size=[4, 3]), rng.normal(size=2), rng.normal(size=2)
    layer.value.bias.assign(value_bias)
    layer.gate.bias.assign(gate_bias)
    value = np.tanh(x @ layer.value.kernel.numpy() + value_bias)
    gate = expit(x @ layer.gate.kernel.numpy() + gate_bias)
    y = layer(tf.constant(x, tf.float32))
    np.testing.assert_allclose(y, value * gate, rtol=1e-5, atol=1e-6)


def test_a_closed_gate_lets_nothing_through():
    layer = GatedLinear(3, 2, seed=make_seed(0))
    layer.gate.bias.assign([-200.0, -200.0])
    np.testing.assert_array_equal(layer(tf.ones([1, 3])), [[0.0, 0.0]])


def test_gated_value_and_gate_start_differently():
    layer = GatedLinear(3, 2, seed=make_seed(0))
    assert not np.any(layer.value.kernel.numpy() == layer.gate.kernel.numpy())


def test_gated_bfloat16_computes_in_bfloat16():
    layer = GatedLinear(3, 2, dtype=tf.bfloat16, seed=make_seed(0))
    assert layer(tf.ones([1, 3])).dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}


def build_masked(activation=None):
    layer = MaskedLinear(MASK, seed=make_seed(0), activation=activation)
    layer.bias.assign([0.1, -0.2, 0.3, 0.4])
    return layer


def test_masked_computes_with_the_connections_that_are_left():
    layer = build_masked()
    expected = X @ (layer.kernel.numpy() * MASK) + layer.bias.numpy()
    np.testing.assert_allclose(layer(X), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(layer(X)[..., 3], np.full([2, 5], 0.4), rtol=1e-6)
    np.testing.assert_allclose(
        build_masked(tf.nn.relu)(X), np.maximum(expected, 0), rtol=1e-5, atol=1e-6
    )


def test_masked_connections_get_no_gradient():
    layer = build_masked()
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(tf.math.square(layer(X)))
    gradient = tape.gradient(total, layer.kernel).numpy()
    np.testing.assert_array_equal(gradient != 0, MASK.astype(bool))
