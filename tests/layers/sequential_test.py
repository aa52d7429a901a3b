from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.randomness import make_seed


def test_applies_layers_in_order():
    chain = Sequential([lambda x: x + 1.0, lambda x: 2.0 * x])
    np.testing.assert_array_equal(chain(tf.constant([3.0])), [8.0])


def test_without_layers_gives_its_input():
    np.testing.assert_array_equal(Sequential([])(tf.constant([3.0])), [3.0])


def test_holds_the_variables_of_its_layers():
    first, second = Linear(2, 3, seed=make_seed(0)), Linear(3, 1, seed=make_seed(1))
    variables = {variable.ref() for variable in Sequential([first, second]).trainable_variables}
    own = [first.kernel, first.bias, second.kernel, second.bias]
    assert variables == {variable.ref() for variable in own}
