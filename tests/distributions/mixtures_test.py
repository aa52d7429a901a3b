"""Mixtures of Gaussians with all covariances, next to TensorFlow Probability's."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.mixtures import DiagonalMixture, FullMixture

tfd = tfp.distributions


def test_products_give_the_density_and_the_gradients_of_a_full_mixture():
    """TFP solves a system of equations for each pair of z and component."""
    size, components, rng = 20, 15, np.random.default_rng(0)
    loc = rng.normal(size=[components, size])
    scale = np.tril(0.05 * rng.normal(size=[components, size, size]), -1)
    scale += np.exp(0.5 * rng.normal(size=[components, 1, size]) - 1.0) * np.eye(size)
    z = np.einsum("kij,nkj->nki", scale, rng.normal(size=[4, components, size])) + loc
    values, gradients = [], []
    for family, dtype in ((FullMixture, tf.float32), (tfd.MixtureSameFamily, tf.float64)):
        parameters = [tf.constant(value, dtype) for value in (loc, scale, z)]
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            weights = tfd.Categorical(logits=tf.range(components, dtype=dtype))
            gaussians = tfd.MultivariateNormalTriL(*parameters[:2])
            value = family(weights, gaussians).log_prob(parameters[2])
        values.append(value)
        gradients.append(tape.gradient(value, parameters))
    assert values[0].shape == [4, components]
    np.testing.assert_allclose(*values, atol=1e-3)
    for gradient, expected in zip(*gradients, strict=True):
        lower = tf.linalg.band_part(expected, -1, 0) if expected.shape == scale.shape else expected
        np.testing.assert_allclose(gradient, lower, atol=2e-4 * np.max(np.abs(expected)))


@pytest.mark.parametrize("family", [DiagonalMixture, FullMixture])
def test_rounding_gives_no_density_above_the_peak(family):
    """Means many deviations apart: the squared distance is a difference of large numbers."""
    rng = np.random.default_rng(0)
    loc = tf.constant(30.0 * rng.normal(size=[8, 16]), tf.float32)
    deviation = 0.007
    if family is DiagonalMixture:
        gaussians = tfd.MultivariateNormalDiag(loc, deviation * tf.ones([8, 16]))
    else:
        gaussians = tfd.MultivariateNormalTriL(loc, deviation * tf.eye(16, batch_shape=[8]))
    near = loc[:, None] + 0.001 * tf.constant(rng.normal(size=[8, 50, 16]), tf.float32)
    density = family(tfd.Categorical(logits=tf.zeros(8)), gaussians).log_prob(near)
    peak = -16 * np.log(deviation * np.sqrt(2 * np.pi))
    assert np.max(density) <= peak + 0.01
