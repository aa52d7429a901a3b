from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.discretized_logistic import DiscretizedLogistic
from vae_lowlevel.distributions.likelihoods import (
    Bernoulli,
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    FixedScale,
    GaussianLikelihood,
    LearnedScale,
    PixelScale,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(scale=3, size=[2, 3, 4, 2])
GREY = RNG.uniform(size=[2, 3, 4, 2])
LIKELIHOODS = {"bernoulli": BernoulliLikelihood(), "gaussian": GaussianLikelihood(FixedScale(0.3))}
ALL = {
    **LIKELIHOODS,
    "continuous_bernoulli": ContinuousBernoulliLikelihood(),
    "discretized_logistic": DiscretizedLogisticLikelihood(FixedScale(0.1)),
}


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
    log_prob = build(GaussianLikelihood(FixedScale(scale))).log_prob(tf.constant(GREY, tf.float32))
    np.testing.assert_allclose(log_prob, normal.logpdf(GREY).sum((1, 2, 3)), rtol=1e-5)


def continuous_bernoulli_logpdf(x, logits):
    # C(p) p^x (1 - p)^(1 - x) with C = 2 artanh(1 - 2p) / (1 - 2p) = logit / tanh(logit / 2).
    constant = np.log(logits / np.tanh(logits / 2))
    return x * logits - np.logaddexp(0, logits) + constant


@pytest.mark.parametrize("scale", [0.01, 1, 10, 60])
def test_continuous_bernoulli_log_prob_and_mean_follow_their_formulas(scale):
    logits = scale * LOGITS
    distribution = build(ContinuousBernoulliLikelihood(), logits)
    expected = continuous_bernoulli_logpdf(GREY, logits).sum((1, 2, 3))
    np.testing.assert_allclose(
        distribution.log_prob(tf.constant(GREY, tf.float32)), expected, rtol=1e-4, atol=1e-4
    )
    mean = 1 / -np.expm1(-logits) - 1 / logits
    np.testing.assert_allclose(distribution.mean(), mean, rtol=1e-4, atol=1e-6)


def test_continuous_bernoulli_is_a_density_on_the_unit_interval():
    grid = (np.arange(4000) + 0.5) / 4000
    density = np.exp(continuous_bernoulli_logpdf(grid[:, None], LOGITS.ravel()))
    np.testing.assert_allclose(density.mean(0), 1.0, rtol=1e-4)
    image = tf.fill([1, 1, 1, 1], 0.25)
    at_0 = ContinuousBernoulliLikelihood()(tf.zeros([1, 1, 1, 1])).log_prob(image)
    np.testing.assert_allclose(at_0, [0.0], atol=1e-6)  # uniform


@pytest.mark.parametrize("likelihood", [GaussianLikelihood, DiscretizedLogisticLikelihood])
def test_scale_of_a_pixel_is_the_second_half_of_the_channels(likelihood):
    scale = PixelScale(0.1)
    head = likelihood(scale)
    assert head.parameters_per_value == 2
    raw = RNG.normal(size=LOGITS.shape)
    parameters = np.concatenate([LOGITS, raw], -1)
    distribution = build(head, parameters).distribution
    np.testing.assert_allclose(distribution.loc, scipy.special.expit(LOGITS), rtol=1e-5)
    np.testing.assert_allclose(distribution.scale, scale(raw.astype(np.float32)), rtol=1e-5)


@pytest.mark.parametrize("likelihood", [GaussianLikelihood, DiscretizedLogisticLikelihood])
def test_a_learned_scale_is_trained_and_a_fixed_one_is_not(likelihood):
    image = tf.constant(GREY, tf.float32)
    learned, fixed = likelihood(LearnedScale(0.3)), likelihood(FixedScale(0.3))
    assert not fixed.variables
    with tf.GradientTape() as tape:
        log_prob = build(learned).log_prob(image)
    np.testing.assert_allclose(log_prob, build(fixed).log_prob(image), rtol=1e-4)
    (gradient,) = tape.gradient(log_prob, learned.trainable_variables)
    assert abs(float(gradient)) > 1


def test_discretized_logistic_image_is_the_product_of_its_pixels():
    image = np.round(GREY * 255) / 255
    log_prob = build(DiscretizedLogisticLikelihood(FixedScale(0.1))).log_prob(
        tf.constant(image, tf.float32)
    )
    loc = scipy.special.expit(LOGITS).astype(np.float32)
    pixels = DiscretizedLogistic(loc, 0.1).log_prob(tf.constant(image, tf.float32))
    np.testing.assert_allclose(log_prob, np.sum(pixels, axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS.values(), ids=LIKELIHOODS.keys())
def test_mean_is_the_sigmoid_and_one_event_is_one_image(likelihood):
    distribution = build(likelihood)
    np.testing.assert_allclose(distribution.mean(), scipy.special.expit(LOGITS), rtol=1e-5)
    assert distribution.batch_shape == [2]
    assert distribution.event_shape == [3, 4, 2]
    assert likelihood.parameters_per_value == 1


@pytest.mark.parametrize("likelihood", ALL.values(), ids=ALL.keys())
def test_half_precision_logits_return_float32_numbers(likelihood):
    distribution = likelihood(tf.constant(LOGITS, tf.bfloat16))
    assert distribution.mean().dtype == tf.float32
    assert distribution.log_prob(tf.constant(GREY, tf.float32)).dtype == tf.float32
    # Only the logits are rounded; everything after them is computed in float32.
    rounded = likelihood(tf.cast(tf.constant(LOGITS, tf.bfloat16), tf.float32))
    image = tf.constant(GREY, tf.float32)
    np.testing.assert_array_equal(distribution.log_prob(image), rounded.log_prob(image))


def test_pixel_loss_is_minus_log_prob_or_squared_error_per_pixel():
    image = tf.constant(GREY, tf.float32)
    log_prob, mse = tf.constant([-48.0, -12.0]), tf.constant([0.5, 0.25])
    for kind in ("bernoulli", "continuous_bernoulli", "discretized_logistic"):
        np.testing.assert_allclose(
            ALL[kind].pixel_loss(image, log_prob, mse), [48.0 / 24, 12.0 / 24]
        )
    for scale in (0.1, 1.0):
        gaussian = GaussianLikelihood(FixedScale(scale)).pixel_loss(image, log_prob, mse)
        np.testing.assert_array_equal(gaussian, mse)


@pytest.mark.parametrize("likelihood", ALL.values(), ids=ALL.keys())
def test_saturated_decoders_stay_finite_with_their_gradients(likelihood):
    parameters = tf.constant(1e4 * LOGITS, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        distribution = likelihood(parameters)
        log_prob = distribution.log_prob(tf.constant(GREY, tf.float32))
        total = log_prob + tf.reduce_sum(distribution.mean())
    assert np.all(np.isfinite(total))
    assert np.all(np.isfinite(tape.gradient(total, parameters)))
    assert np.all((distribution.mean().numpy() >= 0) & (distribution.mean().numpy() <= 1))


EXTREME_LOGITS = np.array([-90.0, -20.0, -1.5, 0.0, 0.3, 4.0, 30.0, 90.0])


def bernoulli_log_prob_and_gradient(distribution, logits, x):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = distribution(logits=logits, dtype=logits.dtype).log_prob(x)
    return log_prob, tape.gradient(log_prob, logits)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(np.float32, 1e-5, 3e-7), (np.float64, 1e-12, 1e-14)]
)
def test_bernoulli_density_and_its_gradient_are_those_of_tensorflow_probability(
    x, dtype, rtol, atol
):
    found = bernoulli_log_prob_and_gradient(Bernoulli, EXTREME_LOGITS.astype(dtype), dtype(x))
    expected = bernoulli_log_prob_and_gradient(tfp.distributions.Bernoulli, EXTREME_LOGITS, x)
    for value, of_tfp in zip(found, expected, strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, of_tfp, rtol=rtol, atol=atol)


def test_bernoulli_events_may_be_integers_and_parameters_probabilities():
    distribution = Bernoulli(probs=[0.25, 0.9])
    np.testing.assert_allclose(distribution.log_prob([0, 1]), np.log([0.75, 0.9]), rtol=1e-6)
