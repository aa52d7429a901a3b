from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.likelihoods import BernoulliLikelihood, GaussianLikelihood

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=[2, 3, 4, 2])
GREY = RNG.uniform(size=[2, 3, 4, 2])
LIKELIHOODS = {"bernoulli": BernoulliLikelihood(), "gaussian": GaussianLikelihood(0.3)}


def build(likelihood, logits=LOGITS):
    return likelihood(tf.constant(logits, tf.float32))


@pytest.mark.parametrize("image", [GREY, np.round(GREY)], ids=["grey", "binary"])
def test_bernoulli_log_prob_is_the_negative_cross_entropy(image):
    probability = scipy.special.expit(LOGITS)
    cross_entropy = -scipy.special.xlogy(image, probability)
    cross_entropy -= scipy.special.xlog1py(1 - image, -probability)
    log_prob = build(BernoulliLikelihood()).log_prob(tf.constant(image, tf.float32))
    np.testing.assert_allclose(log_prob, -cross_entropy.sum((1, 2, 3)), rtol=1e-5)


def test_bernoulli_log_prob_is_exact_for_extreme_logits():
    image = np.zeros([2, 3, 4, 2], np.float32)
    image[0] = 1
    log_prob = build(BernoulliLikelihood(), np.full([2, 3, 4, 2], 200.0)).log_prob(image)
    # log sigmoid(200) is 0 and log(1 - sigmoid(200)) is -200, at each of 24 pixels.
    np.testing.assert_allclose(log_prob, [0.0, -200.0 * 24], atol=1e-6)


@pytest.mark.parametrize("scale", [0.05, 1.0, 2.0])
def test_gaussian_log_prob_is_the_normal_density(scale):
    normal = scipy.stats.norm(scipy.special.expit(LOGITS), scale)
    log_prob = build(GaussianLikelihood(scale)).log_prob(tf.constant(GREY, tf.float32))
    np.testing.assert_allclose(log_prob, normal.logpdf(GREY).sum((1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())
def test_mean_is_the_sigmoid_and_one_event_is_one_image(likelihood):
    distribution = build(likelihood)
    np.testing.assert_allclose(distribution.mean(), scipy.special.expit(LOGITS), rtol=1e-5)
    assert distribution.batch_shape == [2]
    assert distribution.event_shape == [3, 4, 2]
    assert likelihood.parameters_per_value == 1


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())
def test_half_precision_logits_give_float32_numbers(likelihood):
    distribution = likelihood(tf.constant(LOGITS, tf.bfloat16))
    assert distribution.mean().dtype == tf.float32
    assert distribution.log_prob(tf.constant(GREY, tf.float32)).dtype == tf.float32
    # Only the logits are rounded: what is computed from them is as exact as in float32.
    rounded = likelihood(tf.cast(tf.constant(LOGITS, tf.bfloat16), tf.float32))
    image = tf.constant(GREY, tf.float32)
    np.testing.assert_array_equal(distribution.log_prob(image), rounded.log_prob(image))


def test_pixel_loss_is_cross_entropy_or_squared_error_a_pixel():
    image = tf.constant(GREY, tf.float32)
    log_prob, mse = tf.constant([-48.0, -12.0]), tf.constant([0.5, 0.25])
    bernoulli = BernoulliLikelihood().pixel_loss(image, log_prob, mse)
    np.testing.assert_allclose(bernoulli, [48.0 / 24, 12.0 / 24])
    for scale in (0.1, 1.0):
        gaussian = GaussianLikelihood(scale).pixel_loss(image, log_prob, mse)
        np.testing.assert_array_equal(gaussian, mse)
