from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.flows import HEAD_SCALE, coupling_network
from vae_lowlevel.randomness import make_seed


@pytest.mark.parametrize(("features", "units"), [(2, ()), (5, (7,)), (6, (7, 8))])
def test_first_half_gives_two_numbers_for_each_of_the_second(features, units):
    network = coupling_network(features, units=units, activation=tf.nn.relu, seed=make_seed(0))
    given = features // 2
    assert network(tf.zeros([3, given])).shape == [3, 2 * (features - given)]
    assert len(network.layers) == len(units) + 1


def test_starts_small():
    network = coupling_network(40, units=(64,), activation=tf.nn.relu, seed=make_seed(0))
    limit = HEAD_SCALE * np.sqrt(6 / (64 + 40))
    kernel = network.layers[-1].kernel.numpy()
    assert limit / 2 < np.abs(kernel).max() <= limit
    np.testing.assert_array_equal(network.layers[-1].bias, np.zeros(40))
