from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.objectives.corruption import build_corruption
from vae_lowlevel.objectives.denoising import Denoising
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch

B = 4

IMAGE = np.random.default_rng(0).uniform(size=[B, 6, 6, 1]).astype(np.float32)


def make_noise():
    return BatchNoise(make_seed(0), 0, B, B)


def mean(values):
    return tf.reduce_mean(values, 0)


def build(model):
    config = Config.from_flat(
        {
            "model": model,
            "network": "mlp",
            "latent_dim": 2,
            "encoder_units": (5,),
            "corruption": "mask",
            "corruption_strength": 0.5,
        }
    )
    built = assembly.build_model(config.model, (6, 6, 1), seed=0)
    return config, built, assembly.build_objective(config.objective, 1, model)


@pytest.mark.parametrize("model", ["vae", "sparse_autoencoder"])
def test_encoder_sees_the_corrupted_image_and_the_loss_the_clean_one(model):
    config, built, objective = build(model)
    denoising = assembly.build_training_objective(config, objective)
    batch = Batch(tf.constant(IMAGE), tf.zeros([B], tf.int32))
    terms = denoising(built, batch, make_noise(), tf.constant(0), mean)

    corrupted = build_corruption("mask", 0.5)(tf.constant(IMAGE), make_noise())
    assert not np.array_equal(corrupted, IMAGE)
    # The networks by hand: the encoder on the corrupted image, the likelihood of the clean one.
    encoded = built.encode(corrupted)
    if model == "vae":
        encoded = encoded.mean() + encoded.stddev() * make_noise().normal("posterior", (2,))
    log_prob = built.decode(encoded).log_prob(IMAGE)
    name = "distortion" if model == "vae" else "reconstruction"
    np.testing.assert_allclose(getattr(terms, name), -log_prob, rtol=1e-5)
    assert terms._fields == objective.terms == denoising.terms


def test_without_corruption_the_objective_itself_is_trained():
    config, _, objective = build("vae")
    assert (
        assembly.build_training_objective(config.replace(corruption="none"), objective) is objective
    )


def test_schedules_and_score_are_those_of_the_objective():
    _, _, objective = build("vae")
    denoising = Denoising(objective, build_corruption("mask", 0.5))
    assert denoising.schedules is objective.schedules
    assert denoising.score({"elbo": -3.0}) == objective.score({"elbo": -3.0}) == -3.0
