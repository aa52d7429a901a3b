from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.ladder import bottom_up_networks, top_down_networks
from vae_lowlevel.randomness import make_seed

# Levels from the top one on.
DIMS = (2, 3, 4)
RNG = np.random.default_rng(0)


def build(make, units, dims=DIMS, **settings):
    settings = {"activation": tf.math.tanh, **settings}
    return make(dims, units=units, seed=make_seed(0), **settings)


@pytest.mark.parametrize("units", [(5,), (5, 6), (5, 6, 7)])
def test_networks_have_the_sizes_of_their_levels(units):
    sizes = [(2 * 3 + 5,), (2 * 2,)]
    for network, size in zip(build(bottom_up_networks, units), sizes, strict=True):
        assert network(tf.ones([4, 5])).shape == [4, *size]
    for network, above, size in zip(build(top_down_networks, units), (2, 5), (6, 8), strict=True):
        assert network(tf.ones([4, above])).shape == [4, size]


def test_one_level_has_no_networks():
    assert build(bottom_up_networks, (), (3,)) == build(top_down_networks, (), (3,)) == []


def test_top_down_without_hidden_units_is_linear():
    (network,) = build(top_down_networks, (), (2, 3))
    x = RNG.normal(size=[4, 2]).astype(np.float32)
    (head,) = network.layers
    np.testing.assert_allclose(network(x), x @ head.kernel.numpy() + head.bias, rtol=1e-5)


def test_bottom_up_network_activates_the_features_first():
    network = build(bottom_up_networks, (5, 6))[0]
    x = RNG.normal(size=[4, 5]).astype(np.float32)
    _, dense, head = network.layers
    hidden = np.tanh(np.tanh(x) @ dense.kernel.numpy() + dense.bias)
    np.testing.assert_allclose(network(x), hidden @ head.kernel.numpy() + head.bias, rtol=1e-4)


def test_gated_layers_are_multiplied_by_their_gates():
    (network,) = build(top_down_networks, (6,), (2, 3), gated=True)
    x = RNG.normal(size=[4, 2]).astype(np.float32)
    layer, head = network.layers
    value = np.tanh(x @ layer.value.kernel.numpy() + layer.value.bias)
    gate = 1 / (1 + np.exp(-(x @ layer.gate.kernel.numpy() + layer.gate.bias)))
    expected = (value * gate) @ head.kernel.numpy() + head.bias
    np.testing.assert_allclose(network(x), expected, rtol=1e-4, atol=1e-6)


def test_the_prior_starts_near_the_standard_normal():
    x = RNG.normal(size=[1000, 20]).astype(np.float32)
    (network,) = build(top_down_networks, (128,), (20, 20), activation=tf.nn.relu)
    assert 0.01 < np.std(network(x)) < 0.2


def test_every_variable_has_its_own_name_and_start():
    networks = [*build(bottom_up_networks, (5, 5)), *build(top_down_networks, (5, 5))]
    variables = [variable for network in networks for variable in network.variables]
    assert len({variable.name for variable in variables}) == len(variables) == 20
    assert "bottom_up_1/dense_0/kernel:0" in [variable.name for variable in variables]
    kernels = [variable.numpy().ravel()[:4] for variable in variables if "kernel" in variable.name]
    assert len(np.unique(kernels, axis=0)) == len(kernels)
