from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.posteriors import LOG_VARIANCE_BOUND, DiagonalPosterior


def test_parameters_are_loc_and_bounded_log_variance():
    build = DiagonalPosterior(2)
    assert build.parameter_size == 4
    posterior = build(tf.constant([[1.0, -2.0, 0.5, -30.0]]))
    log_variance = np.array([10 * math.tanh(0.05), 10 * math.tanh(-3.0)])
    np.testing.assert_array_equal(posterior.mean(), [[1.0, -2.0]])
    np.testing.assert_allclose(posterior.stddev()[0], np.exp(log_variance / 2), rtol=1e-5)


def test_log_prob_is_that_of_independent_normals():
    posterior = DiagonalPosterior(3)(tf.constant([[0.3, -1.0, 2.0, 0.0, -1.0, 1.5]]))
    z = np.array([[0.1, 0.2, 0.3]])
    normal = scipy.stats.norm(posterior.mean().numpy(), posterior.stddev().numpy())
    np.testing.assert_allclose(
        posterior.log_prob(tf.constant(z, tf.float32)), normal.logpdf(z).sum(-1), rtol=1e-5
    )


def test_bijector_turns_noise_into_a_draw():
    posterior = DiagonalPosterior(2)(tf.constant([[1.0, -2.0, 1.0, -1.0], [0.0] * 4]))
    noise = np.array([[0.5, -1.5], [2.0, 3.0]], np.float32)
    expected = posterior.mean().numpy() + posterior.stddev().numpy() * noise
    np.testing.assert_allclose(posterior.bijector.forward(noise), expected, rtol=1e-6)


@pytest.mark.parametrize("raw", [-1e30, -1e4, 1e4, 1e30])
def test_extreme_log_variances_stay_finite_with_their_gradients(raw):
    parameters = tf.constant([[0.0, raw]])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        posterior = DiagonalPosterior(1)(parameters)
        total = tf.reduce_sum(posterior.stddev()) + posterior.log_prob([[0.1]])[0]
    scale = math.exp(math.copysign(LOG_VARIANCE_BOUND, raw) / 2)
    np.testing.assert_allclose(posterior.stddev(), [[scale]], rtol=1e-5)
    assert np.all(np.isfinite(tape.gradient(total, parameters)))


def test_half_precision_parameters_give_a_float32_distribution():
    posterior = DiagonalPosterior(1)(tf.constant([[1.0, 0.0]], tf.bfloat16))
    assert posterior.dtype == tf.float32
    assert posterior.stddev().dtype == tf.float32
