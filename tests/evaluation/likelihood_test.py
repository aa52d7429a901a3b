"""Importance-sampled likelihoods against the closed form of a linear model, and in every model."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.evaluation.likelihood import (
    ImportanceSampling,
    mean_bound,
    sample_sizes,
    summarize_bounds,
)
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.types import Examples, to_unit

tfd = tfp.distributions
D, SHAPE, SIGMA = 2, (3, 4, 1), 0.3
GENERATOR = np.random.default_rng(0)
W = 0.4 * GENERATOR.normal(size=[D, 12])
EXAMPLES = Examples(
    GENERATOR.integers(0, 256, [7, *SHAPE]).astype(np.uint8), np.full(7, -1, np.int32)
)


class Head:
    """q(z|x) = N(exact posterior mean + shift, widening x exact posterior covariance)."""

    is_gaussian = True

    def __init__(self, widening, shift):
        self.covariance = np.linalg.inv(np.eye(D) + W @ W.T / SIGMA**2)
        self.scale = np.linalg.cholesky(self.covariance * widening)
        self.shift = shift

    def __call__(self, x):
        x = tf.reshape(x, [-1, 12])
        loc = x @ tf.constant(W.T @ self.covariance / SIGMA**2, tf.float32) + self.shift
        return tfd.MultivariateNormalTriL(loc, tf.constant(self.scale, tf.float32))


def linear_gaussian_vae(widening=1.0, shift=0.0):
    """p(z) = N(0, I), p(x|z) = N(z W, SIGMA^2)."""
    return VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=D,
        encoder=lambda image: image,
        posterior=Head(widening, shift),
        prior=StandardPrior(D),
        decoder=lambda z: tf.reshape(z @ tf.constant(W, tf.float32), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, SIGMA), 3),
    )


def exact_log_likelihood():
    covariance = W.T @ W + SIGMA**2 * np.eye(12)
    x = to_unit(EXAMPLES.image).numpy().reshape(-1, 12)
    return stats.multivariate_normal(np.zeros(12), covariance).logpdf(x)


def bounds_of(model, num_samples, examples=EXAMPLES, **changes):
    settings = {"decode_batch": 60, "seed": 0, "jit_compile": False, **changes}
    return ImportanceSampling(model, num_samples=num_samples, **settings)(examples)


def test_with_the_exact_posterior_every_draw_has_the_likelihood_as_its_weight():
    bounds = bounds_of(linear_gaussian_vae(), 20)
    np.testing.assert_allclose(bounds, np.tile(exact_log_likelihood()[:, None], 3), rtol=2e-5)


@pytest.mark.long
@pytest.mark.parametrize("jit_compile", [False, True])
def test_another_posterior_comes_to_the_same_likelihood(jit_compile):
    model = linear_gaussian_vae(widening=3.0, shift=0.1)
    bounds = bounds_of(model, 20_000, decode_batch=40_000, jit_compile=jit_compile)
    exact = exact_log_likelihood()
    np.testing.assert_allclose(bounds[:, -1], exact, atol=0.03)
    # The mean bound rises with the number of draws, and the first one is far below.
    means = bounds.mean(0)
    assert np.all(np.diff(means[:4]) > 0)
    assert means[0] < exact.mean() - 0.5


def test_a_widened_proposal_is_tighter_for_a_posterior_that_is_too_narrow():
    model = linear_gaussian_vae(widening=0.5)
    exact = exact_log_likelihood()
    narrow, wide = (bounds_of(model, 100, proposal_scale=scale) for scale in (1.0, math.sqrt(2.0)))
    # With 1 / 0.5 of the covariance the proposal is the exact posterior: every weight is p(x).
    np.testing.assert_allclose(wide, np.tile(exact[:, None], 3), rtol=2e-5)
    assert np.all(narrow.mean(0) < wide.mean(0))


def test_the_bound_of_one_draw_is_the_evidence_lower_bound():
    """E log w = log p(x) - KL(q(z|x) || p(z|x)), in closed form for Gaussians."""
    model = linear_gaussian_vae(widening=3.0, shift=0.1)
    exact_posterior = linear_gaussian_vae().encode(to_unit(EXAMPLES.image))
    kl = tfd.kl_divergence(model.encode(to_unit(EXAMPLES.image)), exact_posterior)
    expected = exact_log_likelihood() - kl.numpy()
    np.testing.assert_allclose(
        bounds_of(model, 20_000, decode_batch=40_000)[:, 0], expected, atol=0.05
    )


def test_batches_do_not_change_an_exact_result():
    exact = linear_gaussian_vae()
    for decode_batch in (1, 5, 1000):
        bounds = bounds_of(exact, 3, decode_batch=decode_batch)
        np.testing.assert_allclose(bounds[:, -1], exact_log_likelihood(), rtol=2e-5)


def test_the_same_seed_gives_the_same_bounds_and_another_seed_others():
    model = linear_gaussian_vae(widening=3.0)
    first, again, other = (bounds_of(model, 10, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.all(first[:, -1] != other[:, -1])


def test_draws_differ_among_images_and_chunks():
    """Seven copies of one image: equal noise would give equal bounds."""
    copies = EXAMPLES[np.zeros(7, np.int64)]
    bounds = bounds_of(linear_gaussian_vae(widening=3.0), 12, examples=copies, decode_batch=16)
    assert len(np.unique(bounds[:, -1])) == 7
    single = bounds_of(linear_gaussian_vae(widening=3.0), 16, examples=copies, decode_batch=16)
    assert np.all(single[:, 0] != single[:, -1])


@pytest.mark.parametrize(
    "settings",
    [
        {"posterior": "full", "prior": "vamp"},
        pytest.param({"posterior": "iaf", "prior": "flow"}, marks=pytest.mark.long),
        {"prior": "mixture", "likelihood": "discretized_logistic"},
        {"conditional": True, "prior": "vamp", "likelihood": "gaussian"},
        {"network": "conv", "likelihood": "continuous_bernoulli"},
        {"model": "ladder", "ladder_dims": (1, 1), "conditional": True},
        {"model": "ladder", "ladder_dims": (1, 1), "prior": "vamp"},
    ],
    ids=str,
)
def test_every_model_has_the_bound_that_a_loop_over_the_draws_computes(settings):
    small = {"network": "mlp", "encoder_units": (8,), "latent_dim": 2, "prior_components": 3}
    config = Config.from_flat({**small, **settings})
    model = assembly.build_float32_model(config, (8, 8, 1), num_classes=3)
    image = GENERATOR.integers(0, 256, [4, 8, 8, 1]).astype(np.uint8)
    examples = Examples(image, np.array([0, 1, 2, -1], np.int32))
    estimator = ImportanceSampling(
        model, num_samples=30, decode_batch=24, seed=0, jit_compile=False
    )
    bounds = estimator(examples)

    @tf.function(autograph=False)
    def log_weight(noise):
        """Of one draw per image."""
        conditioned = model.conditioned_on(tf.constant(examples.label))
        z, log_q = conditioned.sample_and_log_prob(conditioned.encode(to_unit(image)), noise)
        return conditioned.decode(z).log_prob(to_unit(image)) + model.prior().log_prob(z) - log_q

    rng = np.random.default_rng(1)
    draws = rng.normal(size=[500, 4, 2]).astype(np.float32)
    log_weights = np.array([log_weight(tf.constant(noise)).numpy() for noise in draws])
    tolerance = 5.0 * log_weights.std(0) / math.sqrt(30)
    assert np.all(np.abs(bounds[:, 0] - log_weights.mean(0)) < tolerance + 1e-3)
    assert np.all(bounds[:, -1] >= bounds[:, 0] - 1e-3)


def test_the_bound_of_groups_is_the_mean_of_their_bounds():
    log_weights = GENERATOR.normal(size=[7, 3]).astype(np.float32)
    groups = [log_weights[:3], log_weights[3:6]]
    expected = np.mean([np.log(np.mean(np.exp(group), 0)) for group in groups], 0)
    np.testing.assert_allclose(mean_bound(tf.constant(log_weights), 3), expected, rtol=1e-5)
    # Far outside of what exp can represent in float32.
    np.testing.assert_allclose(mean_bound(tf.constant(log_weights - 500), 3), expected - 500)


def test_sizes_are_powers_of_ten_and_the_whole():
    assert sample_sizes(5000) == [1, 10, 100, 1000, 5000]
    assert sample_sizes(1) == [1]


def test_summary_has_mean_standard_error_and_bits():
    bounds = np.array([[-12.0, -10.0], [-15.0, -13.0], [-11.0, -10.0]], np.float32)
    summary = summarize_bounds(bounds, [1, 10], bpd_dimensions=4)
    assert summary["nll"] == 11.0
    assert summary["nll_standard_error"] == pytest.approx(1.0)
    assert summary["bounds"] == {"1": pytest.approx(-38 / 3), "10": -11.0}
    assert (summary["importance_samples"], summary["examples"]) == (10, 3)
    assert summary["bpd"] == pytest.approx(11.0 / (4 * math.log(2)))
