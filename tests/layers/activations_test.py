from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from vae_lowlevel.config import ModelConfig
from vae_lowlevel.layers.activations import ACTIVATIONS

FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "silu": lambda x: x * scipy.special.expit(x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "tanh": np.tanh,
}


def test_every_choice_of_the_flag_has_its_activation():
    choices = ModelConfig.__dataclass_fields__["activation"].metadata["choices"]
    assert set(ACTIVATIONS) == set(FORMULAS) == set(choices)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_follows_its_formula(name):
    x = np.linspace(-6, 6, 49)
    np.testing.assert_allclose(
        ACTIVATIONS[name](tf.constant(x, tf.float32)), FORMULAS[name](x), rtol=1e-5, atol=1e-6
    )


def test_gradient_of_silu_is_that_of_its_formula():
    x = tf.constant(np.linspace(-20.0, 20.0, 81), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ACTIVATIONS["silu"](x)
    sigmoid = scipy.special.expit(np.linspace(-20.0, 20.0, 81))
    expected = sigmoid + x.numpy() * sigmoid * (1.0 - sigmoid)
    np.testing.assert_allclose(tape.gradient(y, x), expected, rtol=1e-5, atol=1e-6)


def test_gradient_of_silu_in_bfloat16_is_rounded_once():
    x = tf.cast(np.linspace(-8.0, 8.0, 321), tf.bfloat16)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = ACTIVATIONS["silu"](x)
    gradient = tape.gradient(y, x)
    assert gradient.dtype == y.dtype == tf.bfloat16
    exact = tf.cast(x, tf.float64).numpy()
    sigmoid = scipy.special.expit(exact)
    expected = sigmoid + exact * sigmoid * (1.0 - sigmoid)
    np.testing.assert_allclose(tf.cast(gradient, tf.float64), expected, rtol=2.0**-8, atol=1e-6)
