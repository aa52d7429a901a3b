from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.posteriors import kl_per_dimension

tfd = tfp.distributions

LOC = np.array([[0.5, -2.0, 0.0], [0.0, 0.0, 0.0]])
SCALE = np.array([[0.3, 1.7, 1.0], [1.0, 1.0, 1.0]])


def standard():
    return tfd.MultivariateNormalDiag(tf.zeros([3]), tf.ones([3]))


def gaussian(loc, scale):
    return tfd.MultivariateNormalDiag(tf.constant(loc, tf.float32), tf.constant(scale, tf.float32))


def test_matches_the_closed_form_against_the_standard_normal():
    kl = kl_per_dimension(gaussian(LOC, SCALE), standard())
    expected = 0.5 * (LOC**2 + SCALE**2 - 1 - np.log(SCALE**2))
    assert kl.dtype == tf.float32
    np.testing.assert_allclose(kl, expected, rtol=1e-5, atol=1e-7)


def test_matches_the_closed_form_against_any_diagonal_gaussian():
    prior_loc, prior_scale = np.array([1.0, -1.0, 0.0]), np.array([2.0, 0.5, 1.0])
    kl = kl_per_dimension(gaussian(LOC, SCALE), gaussian(prior_loc, prior_scale))
    ratio = (SCALE / prior_scale) ** 2
    expected = 0.5 * (ratio + ((LOC - prior_loc) / prior_scale) ** 2 - 1 - np.log(ratio))
    np.testing.assert_allclose(kl, expected, rtol=1e-5, atol=1e-7)


def test_sum_over_dimensions_matches_monte_carlo():
    posterior = gaussian(LOC, SCALE)
    z = LOC + SCALE * np.random.default_rng(0).normal(size=[50_000, 2, 3])
    z = tf.constant(z, tf.float32)
    ratio = (posterior.log_prob(z) - standard().log_prob(z)).numpy()
    kl = tf.reduce_sum(kl_per_dimension(posterior, standard()), -1)
    standard_error = ratio.std(0) / np.sqrt(len(ratio))
    assert np.all(np.abs(ratio.mean(0) - kl) <= 4 * standard_error + 1e-6)
    assert standard_error[0] < 0.02


def test_is_exactly_0_where_the_posterior_is_the_prior():
    np.testing.assert_array_equal(kl_per_dimension(gaussian(LOC, SCALE), standard())[1], [0, 0, 0])


def test_gradient_matches_the_closed_form():
    loc, scale = tf.constant(LOC, tf.float32), tf.constant(SCALE, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        kl = kl_per_dimension(tfd.MultivariateNormalDiag(loc, scale), standard())
    loc_gradient, scale_gradient = tape.gradient(kl, [loc, scale])
    np.testing.assert_allclose(loc_gradient, LOC, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(scale_gradient, SCALE - 1 / SCALE, rtol=1e-5, atol=1e-6)


TRIL = np.array([[[0.3, 0, 0], [-1.2, 1.7, 0], [0.4, 0.6, 0.5]], np.eye(3)])


def full(loc=LOC, scale=TRIL):
    return tfd.MultivariateNormalTriL(tf.constant(loc, tf.float32), tf.constant(scale, tf.float32))


@pytest.mark.parametrize("prior_scale", [[1.0, 1.0, 1.0], [2.0, 0.5, 1.5]])
def test_full_covariance_matches_its_closed_form(prior_scale):
    prior_loc = np.array([1.0, -1.0, 0.0])
    kl = kl_per_dimension(full(), gaussian(prior_loc, prior_scale))
    inverse = np.diag(1 / np.square(prior_scale))
    for row, (loc, scale) in enumerate(zip(LOC, TRIL, strict=True)):
        covariance, shift = scale @ scale.T, prior_loc - loc
        log_ratio = np.linalg.slogdet(covariance @ inverse)[1]
        expected = 0.5 * (np.trace(inverse @ covariance) + shift @ inverse @ shift - 3 - log_ratio)
        np.testing.assert_allclose(tf.reduce_sum(kl[row]), expected, rtol=1e-5)


def test_parts_of_a_full_covariance_follow_the_chain_rule():
    # z_j given the dimensions before it is N(loc_j + sum_k L_jk e_k, L_jj^2): by Monte Carlo.
    noise = np.random.default_rng(0).normal(size=[100_000, 3])
    scale = TRIL[0]
    before = LOC[0] + noise @ np.tril(scale, -1).T
    own = np.diag(scale)
    expected = 0.5 * (before**2 + own**2 - 1 - np.log(own**2))
    kl = kl_per_dimension(full(), standard())[0]
    error = expected.std(0) / np.sqrt(len(noise))
    assert np.all(np.abs(expected.mean(0) - kl) <= 4 * error + 1e-6)


def test_full_covariance_without_off_diagonal_entries_is_the_diagonal_case():
    scale = SCALE[:, :, None] * np.eye(3)
    np.testing.assert_allclose(
        kl_per_dimension(full(LOC, scale), standard()),
        kl_per_dimension(gaussian(LOC, SCALE), standard()),
        rtol=1e-6,
    )
