from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.distributions.likelihoods import FixedScale, GaussianLikelihood
from vae_lowlevel.distributions.posteriors import DiagonalPosterior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.models.conditional_vae import ConditionalVAE
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.randomness import make_seed

RNG = np.random.default_rng(0)
K, B = 3, 4
# Six pixels, each with K channels of the label next to its own.
TO_POSTERIOR = RNG.normal(size=[6 * (1 + K), 4]).astype(np.float32)
TO_IMAGE = RNG.normal(size=[2 + K, 6]).astype(np.float32)
IMAGE = RNG.uniform(size=[B, 2, 3, 1]).astype(np.float32)
LABEL = np.array([2, 0, 1, -1], np.int32)
ONE_HOT = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)


@pytest.fixture
def model():
    vae = VariationalAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=2,
        encoder=lambda image: tf.reshape(image, [-1, 6 * (1 + K)]) @ TO_POSTERIOR,
        posterior=DiagonalPosterior(2),
        prior=StandardPrior(2),
        decoder=lambda z: tf.reshape(z @ TO_IMAGE, [-1, 2, 3, 1]),
        likelihood=GaussianLikelihood(FixedScale(0.5)),
    )
    return ConditionalVAE(vae, num_classes=K)


def test_it_has_a_prior_and_takes_labels(model):
    assert (model.num_classes, model.has_prior) == (K, True)


def decoded(z, one_hot):
    return scipy.special.expit(np.concatenate([z, one_hot], -1) @ TO_IMAGE).reshape(-1, 2, 3, 1)


def encoded():
    planes = np.broadcast_to(ONE_HOT[:, None, None, :], [B, 2, 3, K])
    features = np.concatenate([IMAGE, planes], -1).reshape(B, -1) @ TO_POSTERIOR
    return features[:, :2]


def test_label_enters_the_encoder_as_channels_and_the_decoder_next_to_z(model):
    conditioned = model.conditioned_on(LABEL)
    assert type(conditioned) is VariationalAutoencoder
    np.testing.assert_allclose(conditioned.encode(IMAGE).mean(), encoded(), rtol=1e-5)
    z = RNG.normal(size=[B, 2]).astype(np.float32)
    np.testing.assert_allclose(conditioned.decode(z).mean(), decoded(z, ONE_HOT), rtol=1e-5)
    np.testing.assert_allclose(
        conditioned.reconstruct(IMAGE), decoded(encoded(), ONE_HOT), rtol=1e-5
    )


@pytest.mark.parametrize(
    ("label", "classes"), [(2, [2, 2, 2, 2]), ([1, 0, 0, 2], [1, 0, 0, 2]), (None, [0, 1, 2, 0])]
)
def test_sample_decodes_draws_of_the_prior_as_the_class_asked_for(model, label, classes):
    image = model.sample(4, make_seed(3), label)
    z = model.prior().sample(4, seed=make_seed(3)).numpy()
    np.testing.assert_allclose(image, decoded(z, np.eye(K)[classes]), rtol=1e-5)


SETTINGS = {
    "latent_dim": 2,
    "encoder_filters": (3,),
    "encoder_strides": (2,),
    "encoder_units": (6,),
    "decoder_filters": (3, 3),
    "decoder_strides": (2,),
}


@pytest.mark.parametrize("network", ["conv", "mlp"])
def test_built_model_uses_the_label_in_both_halves(network):
    config = ModelConfig(network=network, conditional=True, **SETTINGS)
    model = assembly.build_model(config, (2, 3, 1), seed=0, num_classes=K)
    assert model.image_shape == (2, 3, 1)
    means = [
        model.conditioned_on(np.full([B], label, np.int32)).encode(IMAGE).mean()
        for label in range(K)
    ]
    images = [model.sample(B, make_seed(0), label) for label in range(K)]
    for one, other in [(0, 1), (1, 2)]:
        assert np.abs(means[one] - means[other]).max() > 1e-3
        assert np.abs(images[one] - images[other]).max() > 1e-4


def test_variables_are_named_as_without_labels():
    plain = assembly.build_model(ModelConfig(**SETTINGS), (2, 3, 1), seed=0)
    conditional = assembly.build_model(
        ModelConfig(conditional=True, **SETTINGS), (2, 3, 1), seed=0, num_classes=K
    )

    def keys(model):
        return {variable.name for variable in model.encoder.variables}

    assert keys(plain) == keys(conditional)
    assert len(plain.variables) == len(conditional.variables)


def test_data_without_classes_are_refused():
    with pytest.raises(ConfigError, match="--conditional needs labels, but the data have no"):
        assembly.build_model(ModelConfig(conditional=True), (8, 8, 1), seed=0)


@pytest.mark.parametrize("network", ["conv", "mlp", "resnet"])
def test_an_unknown_label_adds_nothing_to_the_networks(network):
    config = ModelConfig(network=network, conditional=True, **SETTINGS)
    model = assembly.build_model(config, (6, 5, 1), 0, K)
    unknown = np.full([B], -1, np.int32)
    image = tf.constant(RNG.uniform(size=[B, 6, 5, 1]), tf.float32)
    without = model.posterior(model.encoder(tf.concat([image, tf.zeros([B, 6, 5, K])], -1)))
    np.testing.assert_array_equal(
        model.conditioned_on(unknown).encode(image).mean(), without.mean()
    )
    z = tf.constant(RNG.normal(size=[B, model.latent_dim]), tf.float32)
    without = model.likelihood(model.decoder(tf.concat([z, tf.zeros([B, K])], -1)))
    np.testing.assert_array_equal(model.conditioned_on(unknown).decode(z).mean(), without.mean())


def test_pseudo_inputs_of_a_vamp_prior_are_of_an_unknown_class():
    config = ModelConfig(network="mlp", prior="vamp", prior_components=5, conditional=True)
    model = assembly.build_model(config, (6, 5, 1), 0, K)
    components = model.prior().components_distribution
    unknown = model.conditioned_on(np.full([5], -1, np.int32))
    posterior = unknown.encode(model.prior.pseudo_inputs)
    np.testing.assert_allclose(components.mean(), posterior.mean(), rtol=1e-6)
    np.testing.assert_allclose(components.stddev(), posterior.stddev(), rtol=1e-6)
