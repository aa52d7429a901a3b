"""Fitted proposals against models whose p(z|x) and p(x) are known."""

import dataclasses
import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import integrate, special, stats

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import PROPOSALS as NAMES
from vae_lowlevel.distributions.flows import FlowDistribution
from vae_lowlevel.distributions.ladder import LadderPrior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.evaluation.likelihood import ImportanceSampling
from vae_lowlevel.evaluation.proposals import PROPOSALS, draw_from_fitted
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.randomness import make_seed
from vae_lowlevel.types import Examples, to_unit

tfd = tfp.distributions
D, SHAPE, PIXELS = 3, (3, 4, 1), 12
GENERATOR = np.random.default_rng(0)
W = 0.4 * GENERATOR.normal(size=[D, PIXELS])
EXAMPLES = Examples(
    GENERATOR.integers(0, 256, [7, *SHAPE]).astype(np.uint8), np.full(7, -1, np.int32)
)
FLAT = EXAMPLES.image.reshape(-1, PIXELS) / 255.0


@dataclasses.dataclass
class Encoder:
    """q(z|x) = N(x loc + shift, deviation^2 I), whatever the model is."""

    loc: np.ndarray
    deviation: float
    shift: float = 0.0
    is_gaussian: bool = True

    def __call__(self, image):
        loc = tf.reshape(image, [-1, PIXELS]) @ tf.constant(self.loc, tf.float32) + self.shift
        return tfd.MultivariateNormalDiag(loc, self.deviation * tf.ones_like(loc))


def exact_posterior(sigma):
    covariance = np.linalg.inv(np.eye(D) + W @ W.T / sigma**2)
    return FLAT @ W.T @ covariance / sigma**2, covariance


def linear_vae(sigma, shift=0.0, widening=1.0):
    """p(z) = N(0, I), p(x|z) = N(z W, sigma^2), and a diagonal q(z|x) beside the exact posterior.

    Its means are `shift` of its deviations away, which are `widening` times the smallest exact one.
    """
    _, covariance = exact_posterior(sigma)
    deviation = widening * math.sqrt(np.min(np.diag(covariance)))
    return VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=D,
        encoder=lambda image: image,
        posterior=Encoder(W.T @ covariance / sigma**2, deviation, shift * deviation),
        prior=StandardPrior(D),
        decoder=lambda z: tf.reshape(z @ tf.constant(W, tf.float32), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, sigma), 3),
    )


def exact_log_likelihood(sigma):
    covariance = W.T @ W + sigma**2 * np.eye(PIXELS)
    return stats.multivariate_normal(np.zeros(PIXELS), covariance).logpdf(FLAT)


def bounds_of(model, num_samples, proposal, examples=EXAMPLES, **changes):
    settings = {"decode_batch": 140, "seed": 0, "jit_compile": False, **changes}
    estimator = ImportanceSampling(model, num_samples=num_samples, proposal=proposal, **settings)
    return estimator(examples)


def test_the_flag_offers_the_proposals_that_there_are():
    assert tuple(PROPOSALS) == NAMES


@pytest.mark.parametrize("jit_compile", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_gaussian_posterior_is_found_whatever_the_encoder_says(jit_compile):
    sigma = 0.5

    @tf.function(autograph=False, jit_compile=jit_compile)
    def draws():
        model, image = linear_vae(sigma, 1.0, 1.5), to_unit(EXAMPLES.image)

        def log_joint(z):
            return model.decode(z).log_prob(image) + model.prior().log_prob(z)

        draw = draw_from_fitted(model, image, log_joint, make_seed(0))
        return draw(tf.random.stateless_normal([4000, 7, D], [1, 2]))

    z, log_density = (value.numpy() for value in draws())
    mean, covariance = exact_posterior(sigma)
    deviation = np.sqrt(np.diag(covariance))
    assert np.all(np.abs(z.mean(0) - mean) < 0.2 * deviation)
    for image in range(7):
        # Of a linear model, the curvature is the same everywhere: the covariance is exact.
        np.testing.assert_allclose(np.cov(z[:, image].T), covariance, atol=0.06 * deviation[0] ** 2)
        fitted = stats.multivariate_normal(z[:, image].mean(0), covariance)
        np.testing.assert_allclose(log_density[:, image], fitted.logpdf(z[:, image]), atol=0.3)


@pytest.mark.parametrize(("sigma", "shift", "widening"), [(0.02, 2.0, 0.5), (0.5, -1.0, 2.0)])
def test_ten_fitted_draws_have_the_likelihood_that_those_of_the_encoder_miss(
    sigma, shift, widening
):
    """The size of the latent space does not matter: at 0.02, the posterior is 0.02 wide."""
    model, exact = linear_vae(sigma, shift, widening), exact_log_likelihood(sigma)
    np.testing.assert_allclose(bounds_of(model, 10, "fitted")[:, -1], exact, atol=0.05)
    assert bounds_of(model, 10, "posterior")[:, -1].mean() < exact.mean() - 0.3


@pytest.mark.long
def test_it_stays_a_bound_and_unbiased_with_another_scale():
    """The mean of w is p(x) for every proposal, here over 7 images and 20,000 draws."""
    model, exact = linear_vae(0.5, 1.0), exact_log_likelihood(0.5)
    for scale in (0.9, 1.5):
        bounds = bounds_of(model, 20_000, "fitted", proposal_scale=scale, decode_batch=70_000)
        np.testing.assert_allclose(bounds[:, -1], exact, atol=0.02)
        assert np.all(np.diff(bounds.mean(0)) > -1e-3)
        assert bounds[:, 0].mean() < exact.mean() - 0.02


@pytest.mark.long
def test_a_density_that_is_not_concave_has_a_finite_proposal():
    """p(z) has two modes, and the encoder points between them, where the curvature is negative."""
    mode, width, sigma = 2.0, 0.8, 4.0

    class TwoModes:
        def __call__(self):
            return tfd.MixtureSameFamily(
                tfd.Categorical(probs=[0.5, 0.5]),
                tfd.MultivariateNormalDiag(tf.constant([[-mode], [mode]]), width * tf.ones([2, 1])),
            )

    model = VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=1,
        encoder=lambda image: image,
        posterior=Encoder(np.zeros([PIXELS, 1]), 0.2),
        prior=TwoModes(),
        decoder=lambda z: tf.reshape(tf.tile(z, [1, PIXELS]), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, sigma), 3),
    )

    def density(z, x):
        prior = 0.5 * stats.norm(-mode, width).pdf(z) + 0.5 * stats.norm(mode, width).pdf(z)
        return prior * np.exp(stats.norm(z, sigma).logpdf(x).sum())

    exact = [math.log(integrate.quad(density, -8, 8, args=(x,), points=[-2, 2])[0]) for x in FLAT]
    bounds = bounds_of(model, 20_000, "fitted", decode_batch=70_000, proposal_scale=1.5)
    assert np.all(np.isfinite(bounds))
    np.testing.assert_allclose(bounds[:, -1], exact, atol=0.05)


def test_levels_whose_deviations_depend_on_each_other_are_followed():
    """A ladder with p(z_1|z_2) = N(0, exp(2 z_2)), a funnel, of which the image says little."""
    sigma, deviation = 20.0, 0.9

    def conditional(above):
        return tf.concat([tf.zeros_like(above), 2.0 * above], -1)

    class Head:
        """q(z|x): the funnel itself, with a top level that is 0.1 too narrow."""

        is_gaussian = False

        def __call__(self, image):
            base = tfd.MultivariateNormalDiag(tf.zeros([image.shape[0], 2]), [deviation, 1.0])
            return FlowDistribution(base, prior().flow)

    prior = LadderPrior((1, 1), [conditional], StandardPrior(1))
    model = VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=2,
        encoder=lambda image: image,
        posterior=Head(),
        prior=prior,
        decoder=lambda z: tf.reshape(tf.tile(z[:, 1:], [1, PIXELS]), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, sigma), 3),
    )

    def density(top, x):
        # Given z_2, the pixels are Gaussian with the variance of z_1 in common.
        variance = np.exp(10.0 * np.tanh(2.0 * top / 10.0))
        covariance = variance + sigma**2 * np.eye(PIXELS)
        return stats.norm.pdf(top) * stats.multivariate_normal(np.zeros(PIXELS), covariance).pdf(x)

    exact = [math.log(integrate.quad(density, -6, 6, args=(x,))[0]) for x in FLAT]
    bounds = bounds_of(model, 100, "fitted")
    np.testing.assert_allclose(bounds[:, -1], exact, atol=0.05)
    # One draw is enough but for the error of the fit.
    assert bounds[:, 0].mean() > np.mean(exact) - 0.3


MIXTURE = {"prior": "mixture", "likelihood": "discretized_logistic"}


@pytest.mark.parametrize(
    ("settings", "draws"),
    [
        ({"posterior": "full", "prior": "vamp"}, 1000),
        pytest.param({"posterior": "iaf", "prior": "flow"}, 1000, marks=pytest.mark.long),
        # Its posteriors have several modes, of which the fitted Gaussian covers one.
        (MIXTURE, 20_000),
        pytest.param(
            {"conditional": True, "network": "conv", "encoder_filters": (4, 4)},
            1000,
            marks=pytest.mark.long,
        ),
        ({"model": "ladder", "ladder_dims": (1, 1), "conditional": True}, 1000),
    ],
    ids=str,
)
def test_every_model_has_the_likelihood_that_quadrature_gives(settings, draws):
    small = {"network": "mlp", "decoder_units": (8,), "latent_dim": 2, "prior_components": 3}
    config = Config.from_flat({**small, **settings})
    model = assembly.build_float32_model(config, (8, 8, 1), num_classes=3)
    image = np.random.default_rng(0).integers(0, 256, [3, 8, 8, 1]).astype(np.uint8)
    examples = Examples(image, np.array([0, 1, -1], np.int32))
    side = np.linspace(-7.0, 7.0, 113).astype(np.float32)
    grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 1, 2)

    @tf.function(autograph=False)
    def log_joint(z):
        conditioned = model.conditioned_on(tf.constant(examples.label))
        z = tf.tile(z, [1, 3, 1])
        return conditioned.decode(z).log_prob(to_unit(image)) + model.prior().log_prob(z)

    values = np.concatenate([log_joint(part).numpy() for part in np.array_split(grid, 113)])
    exact = special.logsumexp(values.astype(np.float64), 0) + 2.0 * math.log(side[1] - side[0])
    bounds = bounds_of(model, draws, "fitted", examples, decode_batch=3000, proposal_scale=1.2)
    np.testing.assert_allclose(bounds[:, -1], exact, atol=0.05)


def test_memory_grows_with_the_decode_batch_only():
    """Of one draw per image, too, no more z are decoded at once than two per image."""
    sizes = []
    model = linear_vae(0.5)
    decoder = model.decoder
    model.decoder = lambda z: sizes.append(int(np.prod(z.shape[:-1]))) or decoder(z)
    for num_samples in (1, 50):
        bounds_of(model, num_samples, "fitted", decode_batch=100)
    assert max(sizes) <= 100
