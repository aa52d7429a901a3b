from __future__ import annotations

import numpy as np
import pytest
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


@pytest.mark.parametrize(("rows", "sizes"), [(8, [3, 3, 2]), (2, [1, 1]), (1, [1])])
def test_parts_of_a_batch_are_processed_by_themselves_and_joined(rows, sizes):
    seen = []

    def layer(x):
        seen.append(x.shape[0])
        return x + 1.0

    chain = Sequential([layer])
    chain.batch_parts = 3
    x = tf.reshape(tf.range(2.0 * rows), [rows, 2])
    np.testing.assert_array_equal(chain(x), x + 1.0)
    assert seen == sizes


def test_a_batch_of_unknown_size_is_processed_as_a_whole():
    chain = Sequential([lambda x: x + tf.cast(tf.shape(x)[0], tf.float32)])
    chain.batch_parts = 3
    on_any_size = tf.function(chain, input_signature=[tf.TensorSpec([None])])
    np.testing.assert_array_equal(on_any_size(tf.zeros([6])), np.full(6, 6.0))
