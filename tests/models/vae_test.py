from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.likelihoods import FixedScale, GaussianLikelihood
from vae_lowlevel.distributions.posteriors import AutoregressiveFlowPosterior, DiagonalPosterior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.randomness import make_seed

RNG = np.random.default_rng(0)
TO_POSTERIOR = RNG.normal(size=[6, 4]).astype(np.float32)
TO_IMAGE = RNG.normal(size=[2, 6]).astype(np.float32)
IMAGE = RNG.uniform(size=[3, 2, 3, 1]).astype(np.float32)


@pytest.fixture
def model():
    return VariationalAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=2,
        encoder=lambda image: tf.reshape(image, [-1, 6]) @ TO_POSTERIOR,
        posterior=DiagonalPosterior(2),
        prior=StandardPrior(2),
        decoder=lambda z: tf.reshape(z @ TO_IMAGE, [-1, 2, 3, 1]),
        likelihood=GaussianLikelihood(FixedScale(0.5)),
    )


def test_it_has_a_prior_and_takes_no_labels(model):
    assert (model.num_classes, model.has_prior) == (0, True)
    assert model.conditioned_on(tf.zeros([3], tf.int32)) is model


def encoded():
    loc, raw = np.split(IMAGE.reshape(3, 6) @ TO_POSTERIOR, 2, axis=-1)
    return loc, 10 * np.tanh(raw / 10)


def decoded(z):
    return scipy.special.expit(z @ TO_IMAGE).reshape(-1, 2, 3, 1)


def test_encode_gives_the_posterior_and_decode_the_likelihood(model):
    loc, log_variance = encoded()
    posterior = model.encode(IMAGE)
    np.testing.assert_allclose(posterior.mean(), loc, rtol=1e-5)
    np.testing.assert_allclose(posterior.stddev(), np.exp(log_variance / 2), rtol=1e-5)
    z = np.array([[1.0, -1.0]], np.float32)
    np.testing.assert_allclose(model.decode(z).mean(), decoded(z), rtol=1e-5)
    np.testing.assert_allclose(model.decode(z).stddev(), np.full([1, 2, 3, 1], 0.5))


def test_kl_is_per_dimension_in_nats(model):
    loc, log_variance = encoded()
    expected = 0.5 * (loc**2 + np.exp(log_variance) - 1 - log_variance)
    kl = model.kl_per_dimension(model.encode(IMAGE))
    np.testing.assert_allclose(kl, expected, rtol=1e-4, atol=1e-6)


def test_embed_gives_the_posterior_mean_and_describe_all_of_it(model):
    loc, log_variance = encoded()
    np.testing.assert_allclose(model.embed(IMAGE), loc, rtol=1e-5)
    described = model.describe(IMAGE)
    assert set(described) == {"z_mean", "z_log_var"}
    np.testing.assert_allclose(described["z_mean"], loc, rtol=1e-5)
    np.testing.assert_allclose(described["z_log_var"], log_variance, rtol=1e-4, atol=1e-5)


def test_draw_gives_z_and_its_log_density(model):
    loc, log_variance = encoded()
    noise = RNG.normal(size=[3, 2]).astype(np.float32)
    z, log_q = model.sample_and_log_prob(model.encode(IMAGE), noise)
    scale = np.exp(log_variance / 2)
    np.testing.assert_allclose(z, loc + scale * noise, rtol=1e-5, atol=1e-6)
    expected = scipy.stats.norm(loc, scale).logpdf(loc + scale * noise).sum(-1)
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)


def test_embedding_of_a_flow_goes_through_the_flow():
    def network(x, context):
        return tf.reverse(context, [-1]), tf.zeros_like(x)

    model = VariationalAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=2,
        encoder=lambda image: tf.reshape(image, [-1, 6]),
        posterior=AutoregressiveFlowPosterior(2, 2, [network]),
        prior=StandardPrior(2),
        decoder=lambda z: tf.reshape(z @ TO_IMAGE, [-1, 2, 3, 1]),
        likelihood=GaussianLikelihood(FixedScale(0.5)),
    )
    pixels = IMAGE.reshape(3, 6)
    gate = scipy.special.expit(2.0)
    expected = gate * pixels[:, :2] + (1 - gate) * pixels[:, :3:-1]
    np.testing.assert_allclose(model.embed(IMAGE), expected, rtol=1e-5)
    np.testing.assert_allclose(model.reconstruct(IMAGE), decoded(expected), rtol=1e-5)
    described = model.describe(IMAGE)
    np.testing.assert_allclose(described["z"], expected, rtol=1e-5)
    np.testing.assert_array_equal(described["z_mean"], pixels[:, :2])
    output = model(IMAGE, make_seed(0))
    np.testing.assert_allclose(output["reconstruction"], decoded(output["z"].numpy()), rtol=1e-5)
    assert not np.any(output["z"].numpy() == described["z"].numpy())


def test_reconstruct_decodes_the_posterior_mean(model):
    np.testing.assert_allclose(model.reconstruct(IMAGE), decoded(encoded()[0]), rtol=1e-5)


def test_sample_decodes_draws_of_the_prior(model):
    seed = make_seed(3)
    z = model.prior().sample(4, seed=seed)
    image = model.sample(4, seed)
    assert image.shape == [4, 2, 3, 1]
    np.testing.assert_allclose(image, decoded(z.numpy()), rtol=1e-5)
    assert not np.any(model.sample(4, make_seed(4)).numpy() == image.numpy())


def test_call_decodes_one_draw_of_the_posterior(model):
    loc, log_variance = encoded()
    output = model(IMAGE, make_seed(3))
    assert set(output) == {"reconstruction", "z_mean", "z_log_var", "z"}
    np.testing.assert_allclose(output["z_mean"], loc, rtol=1e-5)
    np.testing.assert_allclose(output["z_log_var"], log_variance, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(output["reconstruction"], decoded(output["z"].numpy()), rtol=1e-5)
    np.testing.assert_array_equal(model(IMAGE, make_seed(3))["z"], output["z"])
    assert not np.any(model(IMAGE, make_seed(4))["z"].numpy() == output["z"].numpy())


def test_draws_of_the_posterior_have_its_mean_and_variance(model):
    loc, log_variance = encoded()
    many = model(np.repeat(IMAGE[:1], 4000, axis=0), make_seed(0))["z"].numpy()
    scale = np.exp(log_variance[0] / 2)
    standardised = (many - loc[0]) / scale
    np.testing.assert_allclose(standardised.mean(0), [0, 0], atol=4 / np.sqrt(4000))
    np.testing.assert_allclose(standardised.std(0), [1, 1], atol=0.05)
