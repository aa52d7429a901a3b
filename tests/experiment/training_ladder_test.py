"""A ladder from training to export."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from experiment.tiny_run import TINY, run

from vae_lowlevel import assembly, cli, evaluate, train
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.experiment import training
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model

pytestmark = pytest.mark.long

LADDER = {
    "model": "ladder",
    "latent_dim": None,
    "ladder_dims": (2, 3),
    "ladder_units": (5,),
    "binarize": "dynamic",
    "learning_rate": 0.01,
}


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """A finished run of two epochs, one in each session."""
    folder = tmp_path_factory.mktemp("runs") / "resumed"
    with pytest.MonkeyPatch.context() as patch:
        # The first session ends like one that was stopped: trained and saved, not measured.
        patch.setattr(training, "finish_run", lambda *_, **__: None)
        values = {**TINY, **LADDER, "model_dir": str(folder), "epochs": 1}
        train.run(Config.from_flat(values))
    run(folder, **LADDER, epochs=2)
    return folder


@pytest.mark.slow
def test_unbroken_and_resumed_runs_end_alike(resumed, tmp_path):
    run(tmp_path / "whole", **LADDER, epochs=2)
    whole, parts = load_model(str(tmp_path / "whole")), load_model(str(resumed))
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_training_changes_every_variable_and_lowers_the_loss(resumed):
    trained = load_model(str(resumed))
    initial = assembly.build_float32_model(RunFolder(str(resumed)).read_config(), (8, 8, 1))
    # Two layers each of encoder, decoder and top-down network, and one of the bottom-up network.
    assert len(trained.variables) == 14
    for a, b in zip(trained.variables, initial.variables, strict=True):
        assert np.any(a.numpy() != b.numpy()), a.name
    first, last = json.loads((resumed / "metrics.json").read_text())["history"]
    assert last["train"]["loss"] < first["train"]["loss"]


def test_run_is_measured_by_its_likelihood(resumed, capsys):
    words = [f"--model_dir={resumed}", "--metrics=likelihood", "--importance_samples=20"]
    code = cli.main(
        "",
        evaluate.EvaluateOptions,
        evaluate.run,
        [*words, "--decode_batch=64", "--tensorflow_log"],
    )
    assert code == 0, capsys.readouterr().err
    metrics = json.loads((resumed / "metrics.json").read_text())
    bounds = metrics["likelihood"]["bounds"]
    assert bounds["1"] < bounds["10"] < bounds["20"]
    # One draw is the ELBO of the test split, up to the draws.
    assert abs(bounds["1"] - metrics["test"]["elbo"]) < 2.0
    assert metrics["test"]["rate"] > 0


def test_export_answers_as_the_run(resumed, tmp_path, unchecked):
    options = ExportOptions(model_dir=str(resumed), export_dir=str(tmp_path / "exports"))
    model, signatures = (
        load_model(str(resumed)),
        tf.saved_model.load(export_run(options)).signatures,
    )
    image = tf.constant(np.random.default_rng(0).uniform(size=[3, 8, 8, 1]), tf.float32)
    encoded = signatures["encode"](image=image)
    assert set(encoded) == {"z_mean", "z_log_var"}
    for name, value in model.describe(image).items():
        assert encoded[name].shape == (3, 5)
        np.testing.assert_allclose(encoded[name], value, atol=1e-5)
    decoded = signatures["decode"](z=encoded["z_mean"])["image"]
    np.testing.assert_allclose(decoded, model.reconstruct(image), atol=1e-5)
    # At temperature 0 the seed does not matter: every level is at its mean.
    seed, temperature = tf.constant([1, 2, 3], tf.int64), tf.zeros([3])
    z = signatures["sample_with_temperature"](seed=seed, temperature=temperature)["z"].numpy()
    np.testing.assert_array_equal(z, np.tile(z[:1], [3, 1]))
    np.testing.assert_array_equal(z[:, :2], 0.0)
    assert np.all(z[:, 2:] != 0.0)
