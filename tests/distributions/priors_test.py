from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.posteriors import DiagonalPosterior, FullPosterior
from vae_lowlevel.distributions.priors import (
    PIXEL_MARGIN,
    FlowPrior,
    MixturePrior,
    StandardPrior,
    VampPrior,
)
from vae_lowlevel.randomness import make_seed

tfd = tfp.distributions
RNG = np.random.default_rng(0)
D, K = 3, 4
IMAGE_SHAPE = (2, 2, 1)
Z = np.concatenate([RNG.normal(size=[5, D]), np.zeros([1, D])]).astype(np.float32)
TO_DIAGONAL = RNG.normal(size=[4, 2 * D]).astype(np.float32)
TO_FULL = RNG.normal(size=[4, D + D * (D + 1) // 2]).astype(np.float32)
COUPLING = RNG.normal(size=[1, 4]).astype(np.float32)


def encode_diagonal(image):
    return DiagonalPosterior(D)(tf.reshape(image, [-1, 4]) @ TO_DIAGONAL)


def encode_full(image):
    return FullPosterior(D)(tf.reshape(image, [-1, 4]) @ TO_FULL)


PRIORS = {
    "standard": lambda: StandardPrior(D),
    "mixture": lambda: mixture(K),
    "vamp": lambda: VampPrior(encode_diagonal, IMAGE_SHAPE, K, seed=make_seed(0)),
    "vamp of full": lambda: VampPrior(encode_full, IMAGE_SHAPE, K, seed=make_seed(0)),
    "flow": lambda: FlowPrior(D, [lambda a: 0.4 * tf.math.sin(a @ COUPLING)] * 4),
}


def mixture(components):
    """A mixture whose components differ in every way."""
    prior = MixturePrior(D, components, seed=make_seed(0))
    random = np.random.default_rng(1)
    for variable in prior.variables:
        variable.assign(random.normal(size=variable.shape))
    return prior


@pytest.fixture(params=PRIORS)
def prior(request):
    return PRIORS[request.param]()


def test_standard_log_prob_is_that_of_the_standard_normal():
    z = np.array([[0.5, -1.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
    expected = scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(StandardPrior(3)().log_prob(z), expected, rtol=1e-6)


def test_standard_draws_have_mean_0_and_variance_1():
    z = StandardPrior(2)().sample(4000, seed=make_seed(0)).numpy()
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 0.01


def test_is_a_float32_distribution_over_d_numbers(prior):
    distribution = prior()
    assert distribution.event_shape == [D]
    assert distribution.batch_shape == []
    assert distribution.dtype == tf.float32
    assert distribution.log_prob(Z).shape == [6]


def test_draws_depend_on_the_seed_alone(prior):
    distribution = prior()
    z = distribution.sample(40, seed=make_seed(0)).numpy()
    assert z.shape == (40, D)
    np.testing.assert_array_equal(prior().sample(40, seed=make_seed(0)), z)
    assert not np.any(distribution.sample(40, seed=make_seed(1)).numpy() == z)


def test_draws_follow_the_density(prior):
    # E_p[f / p] is the integral of f, here 1: f is a narrow Gaussian within the prior's bulk.
    distribution = prior()
    z = distribution.sample(20_000, seed=make_seed(0))
    centre, spread = z.numpy().mean(0), 0.5 * z.numpy().std(0)
    f = scipy.stats.norm(centre, spread).logpdf(z).sum(-1)
    weight = np.exp(f - distribution.log_prob(tf.constant(z.numpy())).numpy())
    error = weight.std() / np.sqrt(len(weight))
    assert abs(weight.mean() - 1) < 4 * error
    assert error < 0.05


def test_a_draw_for_each_seed_works_in_a_map_and_compiles(prior):
    seeds = tf.constant([[0, 1], [2, 3], [0, 1]])

    def sample(seeds):
        distribution = prior()
        return tf.map_fn(
            lambda seed: distribution.sample(seed=seed), seeds, fn_output_signature=tf.float32
        )

    for jit_compile in (False, True):
        z = tf.function(sample, jit_compile=jit_compile)(seeds).numpy()
        assert z.shape == (3, D)
        np.testing.assert_array_equal(z[0], z[2])
        assert not np.any(z[0] == z[1])
    log_prob = prior().log_prob(Z)
    compiled = tf.function(lambda: prior().log_prob(Z), jit_compile=True)()
    np.testing.assert_allclose(compiled, log_prob, rtol=1e-4)


def test_every_variable_is_trained_by_the_density(prior):
    with tf.GradientTape() as tape:
        log_prob = tf.reduce_mean(prior().log_prob(Z))
    gradients = tape.gradient(log_prob, prior.trainable_variables)
    assert len(prior.variables) == len(gradients)
    for gradient in gradients:
        assert np.any(gradient.numpy())
        assert np.all(np.isfinite(gradient))


def test_mixture_density_is_the_weighted_sum():
    prior = mixture(K)
    logits, loc, raw = (
        prior.logits.numpy(),
        prior.loc.numpy(),
        prior.raw_log_variance.numpy().astype(float),
    )
    scale = np.exp(5 * np.tanh(raw / 10))
    parts = scipy.stats.norm(loc, scale).logpdf(Z[:, None]).sum(-1)
    expected = scipy.special.logsumexp(parts + scipy.special.log_softmax(logits), axis=-1)
    np.testing.assert_allclose(prior().log_prob(Z), expected, rtol=1e-5)


def test_mixture_of_one_standard_component_is_the_standard_prior():
    prior = MixturePrior(D, 1, seed=make_seed(0))
    prior.loc.assign(tf.zeros([1, D]))
    np.testing.assert_allclose(prior().log_prob(Z), StandardPrior(D)().log_prob(Z), rtol=1e-6)


def test_mixture_starts_with_components_that_differ():
    prior = MixturePrior(D, K, seed=make_seed(0))
    assert len(np.unique(prior.loc.numpy(), axis=0)) == K
    np.testing.assert_allclose(tf.nn.softmax(prior.logits), [1 / K] * K)


@pytest.mark.parametrize("encode", [encode_diagonal, encode_full])
def test_vamp_density_is_the_mean_of_the_posteriors_of_the_pseudo_inputs(encode):
    prior = VampPrior(encode, IMAGE_SHAPE, K, seed=make_seed(0))
    pseudo_inputs = 1 / (1 + np.exp(-prior.raw_pixels.numpy()))
    posteriors = encode(pseudo_inputs)
    loc, covariance = posteriors.mean().numpy(), posteriors.covariance().numpy().astype(float)
    parts = [scipy.stats.multivariate_normal(loc[k], covariance[k]).logpdf(Z) for k in range(K)]
    expected = scipy.special.logsumexp(parts, axis=0) - np.log(K)
    np.testing.assert_allclose(prior().log_prob(Z), expected, rtol=1e-3)


def test_vamp_counts_its_pixels_alone():
    encoder = tf.Module()
    encoder.kernel = tf.Variable(TO_DIAGONAL)
    prior = VampPrior(
        lambda image: DiagonalPosterior(D)(tf.reshape(image, [-1, 4]) @ encoder.kernel),
        IMAGE_SHAPE,
        K,
        seed=make_seed(0),
    )
    assert [variable.shape for variable in prior.variables] == [[K, *IMAGE_SHAPE]]
    # Though the encoder learns from it as well.
    with tf.GradientTape() as tape:
        log_prob = tf.reduce_mean(prior().log_prob(Z))
    assert np.any(tape.gradient(log_prob, encoder.kernel).numpy())


@pytest.mark.parametrize("count", [2, K, K + 3])
def test_vamp_starts_from_images(count):
    prior = VampPrior(encode_diagonal, IMAGE_SHAPE, K, seed=make_seed(0))
    noise = prior.pseudo_inputs.numpy()
    images = np.random.default_rng(2).integers(0, 2, [count, *IMAGE_SHAPE]).astype(np.float32)
    prior.start_from(images)
    assert prior.raw_pixels.shape == [K, *IMAGE_SHAPE]
    kept = min(count, K)
    expected = np.clip(images[:kept], PIXEL_MARGIN, 1 - PIXEL_MARGIN)
    np.testing.assert_allclose(prior.pseudo_inputs[:kept], expected, rtol=1e-5)
    np.testing.assert_array_equal(prior.pseudo_inputs[kept:], noise[: K - kept])


def test_flow_of_zero_couplings_is_the_standard_prior():
    prior = FlowPrior(D, [lambda a: tf.zeros([tf.shape(a)[0], 4])] * 3)
    np.testing.assert_allclose(prior().log_prob(Z), StandardPrior(D)().log_prob(Z), rtol=1e-6)


def test_two_couplings_transform_every_dimension():
    prior = FlowPrior(D, [lambda a: tf.math.sin(a @ COUPLING) + 0.5] * 2)
    z = prior().sample(10, seed=make_seed(0)).numpy()
    noise = StandardPrior(D)().sample(10, seed=make_seed(0)).numpy()
    assert not np.any(np.isclose(z, noise[:, ::-1]))
