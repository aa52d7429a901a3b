from __future__ import annotations

from typing import Generic, Protocol

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.assembly import build_model, build_objective
from vae_lowlevel.config import Config, ModelConfig
from vae_lowlevel.types import ConditionedModel, ConditionedVAE, Model, Objective, psnr, to_unit


def test_each_tenth_of_the_error_is_ten_decibels():
    mse = tf.constant([[1.0, 0.1], [0.025, 1e-6]])
    np.testing.assert_allclose(psnr(mse), [[0.0, 10.0], [16.0206, 60.0]], rtol=1e-5, atol=1e-6)


def test_no_error_is_a_hundred_decibels():
    np.testing.assert_allclose(psnr(tf.constant([0.0, 1e-12])), [100.0, 100.0], rtol=1e-5)


def test_pixels_become_floats_in_the_unit_interval():
    pixels = np.arange(256, dtype=np.uint8)
    for given in (pixels, tf.constant(pixels)):
        unit = to_unit(given)
        assert unit.dtype == tf.float32
        np.testing.assert_allclose(unit, np.arange(256) / 255.0, rtol=1e-7)


def members(protocol):
    """Returns the names that a protocol asks for, those of the protocols it extends included."""
    own = {
        name
        for base in protocol.__mro__
        if base not in (Protocol, Generic, object)
        for name in (*getattr(base, "__annotations__", ()), *vars(base))
    }
    return {name for name in own if not name.startswith("_")}


@pytest.mark.parametrize(
    ("settings", "conditioned"),
    [
        ({}, ConditionedVAE),
        ({"conditional": True}, ConditionedVAE),
        ({"model": "sparse_autoencoder"}, ConditionedModel),
    ],
)
def test_models_keep_their_contract(settings, conditioned):
    config = ModelConfig(network="mlp", latent_dim=2, encoder_units=(4,), **settings)
    model = build_model(config, (5, 4, 1), seed=0, num_classes=3)
    wanted = members(Model) - (set() if model.has_prior else {"prior", "tempered", "sample"})
    assert {name for name in wanted if not hasattr(model, name)} == set()
    given = model.conditioned_on(tf.constant([1]))
    assert {name for name in members(conditioned) if not hasattr(given, name)} == set()
    assert given.has_prior == model.has_prior == (conditioned is ConditionedVAE)
    assert model.num_classes == (3 if settings.get("conditional") else 0)


def test_objectives_keep_their_contract():
    for kind in ("vae", "sparse_autoencoder"):
        objective = build_objective(Config.from_flat({"model": kind}), (5, 4, 1), 1)
        assert {name for name in members(Objective) if not hasattr(objective, name)} == set()
        assert callable(objective)
        assert "loss" in objective.terms
