from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy.special import expit

from vae_lowlevel.layers.linear import GatedLinear
from vae_lowlevel.randomness import make_seed


def test_computes_the_value_times_the_sigmoid_of_the_gate():
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


def test_value_and_gate_start_apart():
    layer = GatedLinear(3, 2, seed=make_seed(0))
    assert not np.any(layer.value.kernel.numpy() == layer.gate.kernel.numpy())


def test_bfloat16_computes_in_bfloat16():
    layer = GatedLinear(3, 2, dtype=tf.bfloat16, seed=make_seed(0))
    assert layer(tf.ones([1, 3])).dtype == tf.bfloat16
    assert {variable.dtype for variable in layer.variables} == {tf.float32}
