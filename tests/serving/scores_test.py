import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.serving.scores import SCORE_DRAWS, score_terms
from vae_lowlevel.serving.signatures import ServingModel


def build(**settings):
    config = ModelConfig(
        network="mlp", latent_dim=2, encoder_units=(6,), decoder_units=(5,), **settings
    )
    model = assembly.build_model(config, (4, 3, 1), seed=0)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, [index, 0]))
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).random([3, 4, 3, 1], np.float32)


def normal(draws):
    return tf.random.stateless_normal([draws, 2], [1, 2])


class WithoutClosedForm(VariationalAutoencoder):
    has_closed_form_kl = False


def test_the_mean_over_draws_converges_to_the_closed_form(images):
    model = build()
    parts = ("image_shape", "latent_dim", "encoder", "posterior", "prior", "decoder", "likelihood")
    drawing = WithoutClosedForm(**{part: getattr(model, part) for part in parts})
    exact = score_terms(model, images, normal(1))
    drawn = tf.function(score_terms)(drawing, tf.constant(images), normal(3000))
    np.testing.assert_allclose(drawn["rate"], exact["rate"], atol=0.1)
    # The mean over the posterior is at least that at its mean, to the second order.
    assert np.all(drawn["distortion"] >= exact["distortion"] - 0.05)
    np.testing.assert_allclose(drawn["elbo"], -drawn["distortion"] - drawn["rate"], rtol=1e-5)


def test_a_flow_is_scored_by_the_same_draws_in_any_batch(images):
    serving = ServingModel(build(posterior="iaf", iaf_units=(6,), iaf_context=3))
    together = serving.score(images)
    again = serving.score(images[::-1])
    for key, value in together.items():
        np.testing.assert_allclose(value, again[key][::-1], rtol=1e-5)
        for row in range(3):
            alone = serving.score(images[row : row + 1])[key][0]
            np.testing.assert_allclose(alone, value[row], rtol=1e-5)


def test_a_flow_is_scored_by_log_densities_of_its_draws(images):
    model = build(posterior="iaf", iaf_units=(6,), iaf_context=3)
    noise = normal(4)
    distortion, rate = [], []
    for row in noise.numpy():
        posterior = model.encode(images)
        z, log_q = model.sample_and_log_prob(posterior, np.tile(row, [3, 1]))
        distortion.append(-model.decode(z).log_prob(images))
        rate.append(log_q + 0.5 * np.sum(np.square(z), -1) + np.log(2 * np.pi))
    found = score_terms(model, images, noise)
    np.testing.assert_allclose(found["distortion"], np.mean(distortion, 0), rtol=1e-5)
    np.testing.assert_allclose(found["rate"], np.mean(rate, 0), rtol=1e-4, atol=1e-5)
    assert SCORE_DRAWS > 1


@dataclasses.dataclass
class WithoutPrior:
    """A model of codes without a prior, like the sparse autoencoder."""

    vae: VariationalAutoencoder
    has_prior = False

    def embed(self, image):
        return self.vae.embed(image)

    def decode(self, code):
        return self.vae.decode(code)


def test_without_a_prior_the_distortion_is_the_score(images):
    model = build()
    found = score_terms(WithoutPrior(model), images, normal(1))
    assert set(found) == {"distortion", "anomaly_score"}
    exact = score_terms(model, images, normal(1))
    np.testing.assert_allclose(found["anomaly_score"], exact["distortion"], rtol=1e-6)
