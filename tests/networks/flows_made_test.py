from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.flows import Made
from vae_lowlevel.randomness import make_seed

CONTEXT = np.random.default_rng(1).normal(size=[4, 3]).astype(np.float32)


def build(features, units=(17, 13)):
    return Made(features, 3, units=units, activation=tf.math.tanh, seed=make_seed(0))


def inputs(features):
    return tf.constant(np.random.default_rng(0).normal(size=[4, features]), tf.float32)


@pytest.mark.parametrize("units", [(17, 13), (9,)])
@pytest.mark.parametrize("features", [1, 2, 5])
def test_output_i_depends_on_exactly_the_inputs_before_i(features, units):
    made, x = build(features, units), inputs(features)
    before = np.tril(np.ones([features, features], bool), -1)
    for which in (0, 1):
        with tf.GradientTape() as tape:
            tape.watch(x)
            output = made(x, CONTEXT)[which]
        jacobian = tape.batch_jacobian(output, x).numpy()
        np.testing.assert_array_equal(np.any(jacobian != 0, axis=0), before)


@pytest.mark.parametrize("features", [1, 2, 5])
def test_every_output_depends_on_the_context(features):
    made = build(features)
    context = tf.constant(CONTEXT)
    with tf.GradientTape() as tape:
        tape.watch(context)
        shift, _ = made(inputs(features), context)
    jacobian = tape.batch_jacobian(shift, context).numpy()
    assert np.all(np.any(jacobian != 0, axis=(0, 2)))


def test_leading_sample_axes_share_the_context():
    made, x = build(3), inputs(3)
    many = made(tf.stack([x, 2 * x]), CONTEXT)
    for together, alone in zip(many, made(2 * x, CONTEXT), strict=True):
        np.testing.assert_allclose(together[1], alone, rtol=1e-5, atol=1e-6)


def test_every_kernel_has_its_own_seed_and_name():
    made = build(5, units=(9, 9))
    kernels = [v.numpy() for v in made.variables if v.shape.rank == 2]
    starts = {tuple(np.sign(kernel.ravel()[:15])) for kernel in kernels}
    assert len(starts) == len(kernels) == 5
    assert len({variable.name for variable in made.variables}) == len(made.variables)
