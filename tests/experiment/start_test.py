"""Whole runs in this process on records that are streamed."""

from __future__ import annotations

import json
import signal
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import train
from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.data.shapes import CLASS_NAMES, draw_shapes
from vae_lowlevel.distributions.priors import PIXEL_MARGIN
from vae_lowlevel.errors import ConfigError, Interrupted
from vae_lowlevel.experiment import start
from vae_lowlevel.experiment.anomaly import find_normal_scores
from vae_lowlevel.experiment.evaluating import evaluate_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best, load_model
from vae_lowlevel.optimizers.clipping import global_norm_by_products
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.training.reporter import Reporter

TINY = {
    "validation_size": 4,
    "shuffle_buffer": 16,
    "resident_bytes": 0,
    "network": "mlp",
    "latent_dim": 2,
    "encoder_units": (6,),
    "decoder_units": (6,),
    "batch_size": 8,
    "steps_per_loop": 3,
    "evaluation_batch_size": 8,
    "export_dir": "",
    "prior_components": 5,
    "jit_compile": "false",
}


def run(folder, **values):
    config = Config.from_flat({**TINY, "model_dir": str(folder), **values})
    train.run(config)
    return config, json.loads((folder / "metrics.json").read_text())


def test_patience_without_validation_images_is_refused_before_training(tmp_path):
    """Nine images have no tenth to judge the epochs by, so patience would never end."""
    values = {"shapes_examples": 9, "image_size": 8, "validation_size": None}
    with pytest.raises(ConfigError, match=r"--early_stopping_patience=3 .* 9 .*--validation_size"):
        run(tmp_path / "run", **values, early_stopping_patience=3)
    assert not (tmp_path / "run" / "ckpt").exists()


@pytest.fixture
def records(tmp_path):
    """Shards of shapes, 40 training and 10 test images of 8 x 8."""
    folder = str(tmp_path / "records")
    write_records(draw_shapes(40, 8, 0), folder, "train", 3)
    write_records(draw_shapes(10, 8, 1), folder, "test", 1)
    write_class_names(CLASS_NAMES, folder)
    return {"dataset": f"records:{folder}/*.tfrecord"}


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"precision": "bfloat16"}, marks=pytest.mark.long),
        *(pytest.param(s, marks=pytest.mark.slow) for s in ({}, {"jit_compile": "true"})),
    ],
)
def test_streamed_runs_end_alike_unbroken_and_resumed_within_an_epoch(
    tmp_path, records, settings, monkeypatch
):
    # 36 training images, 4 steps per epoch; blocks of 3 steps in calls of 1 or 3.
    values = {**records, **settings, "learning_rate": 0.01}
    _, metrics = run(tmp_path / "whole", **values, train_steps=11)
    assert [record["step"] for record in metrics["history"]] == [4, 8, 11]
    with monkeypatch.context() as patch:
        patch.setattr(Reporter, "block", lambda *_: signal.raise_signal(signal.SIGTERM))
        with pytest.raises(Interrupted, match="SIGTERM: saved at step 3"):
            run(tmp_path / "parts", **values, train_steps=11)
    for steps in (6, 11):
        _, parts = run(tmp_path / "parts", **values, train_steps=steps)
    whole, resumed = (load_model(str(tmp_path / name)) for name in ("whole", "parts"))
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(metrics["history"], parts["history"], strict=True):
        assert a["validation"] == b["validation"]
        assert a["train"]["loss"] == b["train"]["loss"]


@pytest.mark.long
def test_a_streamed_run_learns_what_a_resident_one_does(tmp_path, records):
    values = {**records, "learning_rate": 0.03, "epochs": 10}
    _, streamed = run(tmp_path / "streamed", **values)
    _, resident = run(tmp_path / "resident", **values | {"resident_bytes": 10**9})
    first, last = streamed["history"][0]["validation"], streamed["history"][-1]["validation"]
    other = resident["history"][-1]["validation"]
    gain = first["loss"] - last["loss"]
    assert gain > 5
    assert abs(last["loss"] - other["loss"]) < gain / 5
    assert abs(streamed["test"]["loss"] - resident["test"]["loss"]) < gain / 5


@pytest.mark.long
def test_a_streamed_run_without_validation_is_measured_and_exported(tmp_path, records, unchecked):
    values = {**records, "validation_size": 0, "prior": "vamp", "binarize": "dynamic", "epochs": 1}
    config, metrics = run(tmp_path / "run", **values, export_dir=str(tmp_path / "exports"))
    assert (tmp_path / "exports" / "run" / "1" / "saved_model.pb").is_file()
    folder = RunFolder(str(tmp_path / "run"))
    scores = np.load(tmp_path / "run" / "anomaly_scores.npz")
    assert (scores["score"].shape, str(scores["split"])) == ((40,), "train")
    options = EvaluateOptions(model_dir=folder.path)
    assert evaluate_run(config, folder, options)["test"]["loss"] == metrics["test"]["loss"]
    (tmp_path / "run" / "anomaly_scores.npz").unlink()
    best = load_best(folder)
    measured = find_normal_scores(ServingModel(best.model), best, folder)
    np.testing.assert_array_equal(measured.score, scores["score"])


@pytest.mark.long
def test_pseudo_inputs_of_a_streamed_run_start_as_the_images_seen_first(tmp_path, records):
    values = {**records, "prior": "vamp", "learning_rate": 1e-12, "epochs": 1}
    config, _ = run(tmp_path / "run", **values)
    images, _ = next(iter(load_dataset(config.data).train.batches(0, 0, 0, 8)))
    expected = np.clip(images[:5] / 255, PIXEL_MARGIN, 1 - PIXEL_MARGIN)
    prior = load_model(str(tmp_path / "run")).prior
    np.testing.assert_allclose(prior.pseudo_inputs, expected, atol=1e-5)


def test_less_than_a_batch_of_streamed_images_is_refused(tmp_path, records):
    with pytest.raises(ConfigError, match="--batch_size=37 must be at most the 36 training"):
        run(tmp_path / "run", **records, batch_size=37, epochs=1)


@pytest.mark.long
def test_replicas_train_on_a_stream_as_one_device_does(tmp_path, records):
    values = {**records, "learning_rate": 0.01, "deterministic": False}
    run(tmp_path / "one", **values, epochs=2)
    run(tmp_path / "two", **values, epochs=2, distribution_strategy="mirrored")
    one, two = (load_model(str(tmp_path / name)) for name in ("one", "two"))
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("device", "compilation", "by_products"),
    [("CPU", "block", True), ("CPU", "step", False), ("GPU", "block", False)],
)
def test_the_norm_of_gradients_is_by_products_where_xla_is_slow_at_sums(
    device, compilation, by_products, monkeypatch
):
    specs, norms = [], []
    monkeypatch.setattr(start, "make_train_block", lambda spec, *_, **__: specs.append(spec))
    monkeypatch.setattr(start, "clip_gradients", lambda *arguments: norms.append(arguments[2]))
    prepared = mock.MagicMock(device=device, compilation=compilation)
    start.build_trainer(Config(), prepared, mock.MagicMock())
    specs[0].clip([tf.ones([2])])
    assert norms == [global_norm_by_products if by_products else tf.linalg.global_norm]
