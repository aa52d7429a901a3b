"""Whole runs in this process, for what only a run shows of the distributions."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

import vae_lowlevel.workflow
from vae_lowlevel import assembly, settings, train
from vae_lowlevel.config import Config
from vae_lowlevel.data.pipeline import BatchOrder
from vae_lowlevel.data.sources import load
from vae_lowlevel.distributions.priors import PIXEL_MARGIN
from vae_lowlevel.loading import load_model
from vae_lowlevel.objectives.elbo import Elbo

TINY = {
    "image_size": 8,
    "shapes_examples": 28,
    "validation_size": 4,
    "network": "mlp",
    "latent_dim": 2,
    "encoder_units": (6,),
    "decoder_units": (6,),
    "batch_size": 8,
    "steps_per_loop": 3,
    "export_dir": "",
    "prior_components": 5,
    "jit_compile": "false",
}


@pytest.fixture(autouse=True)
def small_evaluation(monkeypatch):
    monkeypatch.setattr(vae_lowlevel.workflow, "EVALUATION_BATCH", 8)


def run(folder, **values):
    config = Config.from_flat({**TINY, "model_dir": str(folder), **values})
    train.run(config)
    return config, json.loads((folder / "metrics.json").read_text())


def test_bits_per_dimension_are_reported_of_every_split(tmp_path, capsys):
    _, metrics = run(tmp_path / "run", likelihood="discretized_logistic", epochs=1)
    epoch = metrics["history"][0]
    for terms in (epoch["train"], epoch["validation"], metrics["test"]):
        np.testing.assert_allclose(terms["bpd"], -terms["elbo"] / (64 * np.log(2)), rtol=1e-5)
    shown = capsys.readouterr().out
    assert "KL from its closed form" in shown
    assert "bpd" in shown


def test_pseudo_inputs_start_as_the_images_seen_first(tmp_path, capsys):
    values = {"prior": "vamp", "binarize": "dynamic", "learning_rate": 1e-12}
    config, _ = run(tmp_path / "run", **values, epochs=1)
    assert "Monte Carlo" in capsys.readouterr().out
    data = load(config.data).train
    rows = BatchOrder(len(data), 8, 0).block(0, 1)[0][:5]
    expected = np.clip(data.image[rows] / 255.0, PIXEL_MARGIN, 1 - PIXEL_MARGIN)
    prior = load_model(str(tmp_path / "run")).prior
    np.testing.assert_allclose(prior.pseudo_inputs, expected, atol=1e-5)


@pytest.mark.parametrize(("posterior", "prior"), [("iaf", "flow"), ("full", "vamp")])
def test_unbroken_and_resumed_runs_end_alike(tmp_path, posterior, prior):
    values = {
        "posterior": posterior,
        "prior": prior,
        "binarize": "dynamic",
        "learning_rate": 0.01,
    }
    run(tmp_path / "whole", **values, epochs=2)
    run(tmp_path / "parts", **values, epochs=1)
    run(tmp_path / "parts", **values, epochs=2)
    whole, parts = (load_model(str(tmp_path / name)) for name in ("whole", "parts"))
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    start = settings.read_run(str(tmp_path / "whole"))
    fresh = assembly.build_float32_model(start, whole.image_shape)
    for trained, initial in zip(whole.prior.variables, fresh.prior.variables, strict=True):
        assert np.any(trained.numpy() != initial.numpy())


@pytest.mark.parametrize("jit_compile", ["false", "true"])
def test_nothing_is_traced_after_the_first_epoch(tmp_path, monkeypatch, jit_compile):
    """Neither by blocks of other lengths nor by validation, nor by going on with a run."""
    traces = []
    compute = Elbo.__call__

    def counting(*arguments):
        # Python runs it for a trace alone; the run has no eager call of it.
        assert not tf.executing_eagerly()
        traces.append(arguments)
        return compute(*arguments)

    monkeypatch.setattr(Elbo, "__call__", counting)

    def count(folder, **values):
        traces.clear()
        # Five steps an epoch in blocks of at most three: ends of epochs and checkpoints cut some.
        run(folder, jit_compile=jit_compile, batch_size=4, **values)
        return len(traces)

    once = count(tmp_path / "short", epochs=1)
    assert once >= 3  # Training, validation, test.
    assert count(tmp_path / "long", epochs=4, checkpoint_every=3) == once
    # Ends within the second epoch, goes on within it.
    assert count(tmp_path / "parts", train_steps=8, checkpoint_every=5) == once
    assert count(tmp_path / "parts", train_steps=21, checkpoint_every=5) == once
