"""Importance-sampled likelihoods of a linear-Gaussian ladder, whose p(x) is known.

p(z_2) = N(0, I), p(z_1|z_2) = N(A z_2, S^2 I), p(x|z_1) = N(z_1 W, SIGMA^2 I) with W W^T = C^2 I.
W has orthogonal rows, so p(z_1|x, z_2) is the product of p(z_1|z_2) and N(x W^T / C^2,
SIGMA^2 / C^2), and p(z_2|x) is diagonal.
"""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from vae_lowlevel.distributions.bounds import inverse_soft_clip
from vae_lowlevel.distributions.ladder import LOG_VARIANCE_BOUND, LadderPosterior, LadderPrior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.evaluation.likelihood import ImportanceSampling
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.types import Examples, to_unit

tfd = tfp.distributions
D, SHAPE, PIXELS = 2, (3, 4, 1), 12
A, S, SIGMA, C = np.diag([0.8, -1.5]), 0.6, 0.3, 0.7
GENERATOR = np.random.default_rng(0)
W = C * np.linalg.qr(GENERATOR.normal(size=[PIXELS, D]))[0].T
EXAMPLES = Examples(
    GENERATOR.integers(0, 256, [7, *SHAPE]).astype(np.uint8), np.full(7, -1, np.int32)
)


def with_variance(loc, variance):
    """Joins a mean with the raw parameters of a variance, float [D]."""
    raw = [inverse_soft_clip(float(np.log(v)), LOG_VARIANCE_BOUND) for v in variance]
    return tf.concat([loc, tf.zeros_like(loc) + tf.constant(raw, tf.float32)], -1)


def linear_ladder(widening=1.0, shift=0.0):
    """The model with its exact posterior, or with another one."""
    to_level = tf.constant(A.T, tf.float32)
    networks = [lambda z: with_variance(z @ to_level, [S**2] * D)]
    prior = LadderPrior((D, D), networks, StandardPrior(D))
    # Given z_2, the estimate of z_1 from x has the variance S^2 + SIGMA^2 / C^2 around A z_2.
    slope, noise = np.diag(A), S**2 + SIGMA**2 / C**2
    variance = 1.0 / (1.0 + slope**2 / noise)

    def encoder(image):
        estimate = tf.reshape(image, [-1, PIXELS]) @ tf.constant(W.T / C**2, tf.float32)
        bottom = with_variance(estimate + shift, [widening * SIGMA**2 / C**2] * D)
        return tf.concat([bottom, estimate], -1)

    def top(estimate):
        loc = estimate * tf.constant(variance * slope / noise, tf.float32)
        return with_variance(loc + shift, widening * variance)

    return VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=2 * D,
        encoder=encoder,
        posterior=LadderPosterior((D, D), D, [top], prior.conditional),
        prior=prior,
        decoder=lambda z: tf.reshape(z[..., D:] @ tf.constant(W, tf.float32), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, SIGMA), 3),
    )


def exact_log_likelihood():
    covariance = W.T @ (A @ A.T + S**2 * np.eye(D)) @ W + SIGMA**2 * np.eye(PIXELS)
    x = to_unit(EXAMPLES.image).numpy().reshape(-1, PIXELS)
    return stats.multivariate_normal(np.zeros(PIXELS), covariance).logpdf(x)


def bounds_of(model, num_samples, decode_batch):
    return ImportanceSampling(
        model, num_samples=num_samples, decode_batch=decode_batch, seed=0, jit_compile=False
    )(EXAMPLES)


def test_with_the_exact_posterior_every_draw_has_the_likelihood_as_its_weight():
    bounds = bounds_of(linear_ladder(), 20, 60)
    np.testing.assert_allclose(bounds, np.tile(exact_log_likelihood()[:, None], 3), rtol=3e-5)


@pytest.mark.long
@pytest.mark.parametrize(("widening", "shift"), [(2.0, 0.1), (1.3, -0.2)])
def test_another_posterior_comes_to_the_same_likelihood(widening, shift):
    bounds = bounds_of(linear_ladder(widening, shift), 20_000, 40_000)
    exact = exact_log_likelihood()
    np.testing.assert_allclose(bounds[:, -1], exact, atol=0.03)
    assert bounds[:, 0].mean() < exact.mean() - 0.1
