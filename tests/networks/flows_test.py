from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.flows import HEAD_SCALE, Made, coupling_network
from vae_lowlevel.randomness import make_seed

CONTEXT = np.random.default_rng(1).normal(size=[4, 3]).astype(np.float32)


def build_made(features, units=(17, 13)):
    return Made(features, 3, units=units, activation=tf.math.tanh, seed=make_seed(0))


def inputs(features):
    return tf.constant(np.random.default_rng(0).normal(size=[4, features]), tf.float32)


@pytest.mark.parametrize("units", [(17, 13), (9,)])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_output_i_depends_on_exactly_the_inputs_before_i(features, units):
    made, x = build_made(features, units), inputs(features)
    before = np.tril(np.ones([features, features], bool), -1)
    for which in (0, 1):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = made(x, CONTEXT)[which]
        jacobian = tape.batch_jacobian(output, x).numpy()
        np.testing.assert_array_equal(np.any(jacobian != 0, axis=0), before)


@pytest.mark.parametrize("features", [1, 2, 5])
def test_every_output_depends_on_the_context(features):
    made = build_made(features)
    context = tf.constant(CONTEXT)
    with tf.GradientTape() as tape:
        tape.watch(context)
        shift, _ = made(inputs(features), context)
    jacobian = tape.batch_jacobian(shift, context).numpy()
    assert np.all(np.any(jacobian != 0, axis=(0, 2)))


def test_leading_sample_axes_share_the_context():
    made, x = build_made(3), inputs(3)
    many = made(tf.stack([x, 2 * x]), CONTEXT)
    for together, alone in zip(many, made(2 * x, CONTEXT), strict=True):
        np.testing.assert_allclose(together[1], alone, rtol=1e-5, atol=1e-6)


def test_every_kernel_has_its_own_seed_and_name():
    made = build_made(5, units=(9, 9))
    kernels = [v.numpy() for v in made.variables if v.shape.rank == 2]
    starts = {tuple(np.sign(kernel.ravel()[:15])) for kernel in kernels}
    assert len(starts) == len(kernels) == 5
    assert len({variable.name for variable in made.variables}) == len(made.variables)


@pytest.mark.parametrize(("features", "units"), [(2, ()), (5, (7,)), (6, (7, 8))])
def test_coupling_first_half_gives_two_numbers_for_each_of_the_second(features, units):
    network = coupling_network(features, units=units, activation=tf.nn.relu, seed=make_seed(0))
    given = features // 2
    assert network(tf.zeros([3, given])).shape == [3, 2 * (features - given)]
    assert len(network.layers) == len(units) + 1


def test_coupling_starts_small():
    network = coupling_network(40, units=(64,), activation=tf.nn.relu, seed=make_seed(0))
    limit = HEAD_SCALE * np.sqrt(6 / (64 + 40))
    kernel = network.layers[-1].kernel.numpy()
    assert limit / 2 < np.abs(kernel).max() <= limit
    np.testing.assert_array_equal(network.layers[-1].bias, np.zeros(40))
