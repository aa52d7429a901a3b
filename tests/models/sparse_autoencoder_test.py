from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.models.sparse_autoencoder import SparseCode

FEATURES = np.linspace(-6, 6, 25, dtype=np.float32)[:, None]


def poisson_active(rate):
    """The probability that a Poisson count of this rate is not zero."""
    return 1 - np.exp(-rate)


# activation -> its function and the activity of a code
REFERENCES = {
    "sigmoid": (scipy.special.expit, lambda code: code),
    "tanh": (np.tanh, lambda code: (1 + code) / 2),
    "relu": (lambda x: np.maximum(x, 0), poisson_active),
    "softplus": (lambda x: np.log1p(np.exp(x)), poisson_active),
}


@pytest.mark.parametrize("activation", REFERENCES)
def test_code_and_activity_follow_the_table(activation):
    code = SparseCode(1, activation)
    function, activity = REFERENCES[activation]
    value = code(tf.constant(FEATURES))
    np.testing.assert_allclose(value, function(FEATURES), rtol=1e-5, atol=1e-6)
    found = code.activity(value).numpy()
    np.testing.assert_allclose(found, activity(function(FEATURES)), rtol=1e-4, atol=1e-6)
    assert found.min() >= 0.0
    assert found.max() <= 1.0


def test_every_activation_of_the_settings_is_here():
    assert set(ModelConfig.__dataclass_fields__["latent_activation"].metadata["choices"]) == set(
        REFERENCES
    )


def test_a_large_relu_code_counts_as_fully_active():
    code = SparseCode(1, "relu")
    assert float(code.activity(tf.constant([[1e4]]))[0, 0]) == 1.0


@pytest.fixture
def model():
    config = ModelConfig(
        model="sparse_autoencoder", network="mlp", latent_dim=3, encoder_units=(4,)
    )
    return assembly.build_model(config, (4, 5, 1), seed=0)


def test_the_code_is_all_there_is_of_an_image(model):
    image = np.random.default_rng(0).uniform(size=[2, 4, 5, 1]).astype(np.float32)
    code = model.encode(image)
    np.testing.assert_allclose(code, scipy.special.expit(model.encoder(image)), rtol=1e-5)
    np.testing.assert_array_equal(model.embed(image), code)
    assert set(model.describe(image)) == {"code"}
    np.testing.assert_array_equal(model.describe(image)["code"], code)
    np.testing.assert_allclose(model.reconstruct(image), model.decode(code).mean(), rtol=1e-6)


def test_it_takes_no_labels_and_cannot_be_sampled(model):
    assert model.conditioned_on(tf.zeros([2], tf.int32)) is model
    assert (model.num_classes, model.has_prior) == (0, False)
    assert not hasattr(model, "sample")
