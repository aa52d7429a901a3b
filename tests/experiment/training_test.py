"""Whole runs in this process, for what only a run shows of the distributions."""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import signal

import numpy as np
import pytest
import tensorflow as tf
from experiment.tiny_run import TINY, run

from vae_lowlevel import assembly, cli, evaluate, train
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.config.flags import format_value
from vae_lowlevel.data.batching import BatchOrder
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.distributions.priors import PIXEL_MARGIN
from vae_lowlevel.errors import ConfigError, DataError, RunError
from vae_lowlevel.experiment import training
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model, load_predictor
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.training import devices


def test_bits_per_dimension_are_reported_of_every_split(tmp_path, capsys):
    _, metrics = run(tmp_path / "run", likelihood="discretized_logistic", epochs=1)
    epoch = metrics["history"][0]
    for terms in (epoch["train"], epoch["validation"], metrics["test"]):
        np.testing.assert_allclose(terms["bpd"], -terms["elbo"] / (64 * np.log(2)), rtol=1e-5)
    shown = capsys.readouterr().out
    assert "KL from its closed form" in shown
    assert "bpd" in shown


@pytest.mark.long
@pytest.mark.parametrize("model", ["vae", "ladder"])
def test_pseudo_inputs_start_as_the_images_seen_first(tmp_path, capsys, model):
    values = {"prior": "vamp", "binarize": "dynamic", "learning_rate": 1e-12}
    values |= {"model": model, "ladder_dims": (1, 1)}
    config, _ = run(tmp_path / "run", **values, epochs=1)
    assert "Monte Carlo" in capsys.readouterr().out
    data = load_dataset(config.data).train
    rows = BatchOrder(len(data), 8, 0).block(0, 1)[0][:5]
    expected = np.clip(data.image[rows] / 255.0, PIXEL_MARGIN, 1 - PIXEL_MARGIN)
    prior = load_model(str(tmp_path / "run")).prior
    prior = prior.top if model == "ladder" else prior
    np.testing.assert_allclose(prior.pseudo_inputs, expected, atol=1e-5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two epochs; to be copied by those who train in it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, epochs=2)
    return folder


@pytest.fixture
def finished_copy(finished, tmp_path):
    return pathlib.Path(shutil.copytree(finished, tmp_path / "copy"))


@pytest.mark.long
@pytest.mark.parametrize(
    ("posterior", "prior"),
    [("full", "vamp"), pytest.param("iaf", "flow", marks=pytest.mark.slow)],
)
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
    start = RunFolder(str(tmp_path / "whole")).read_config()
    fresh = assembly.build_float32_model(start, whole.image_shape)
    for trained, initial in zip(whole.prior.variables, fresh.prior.variables, strict=True):
        assert np.any(trained.numpy() != initial.numpy())


@pytest.mark.long
def test_a_run_keeps_the_number_of_parts_with_which_it_began(tmp_path, monkeypatch, capsys):
    values = {"shapes_examples": 120, "batch_size": 48, "learning_rate": 0.01}
    monkeypatch.setattr(devices, "count_cores", lambda: 3)
    run(tmp_path / "whole", **values, epochs=2)
    assert "CPU in 3 parts" in capsys.readouterr().out
    run(tmp_path / "parts", **values, epochs=1)
    monkeypatch.setattr(devices, "count_cores", lambda: 2)
    run(tmp_path / "parts", **values, epochs=2)
    resumed = capsys.readouterr().out
    assert "CPU in 3 parts" in resumed
    assert "bit for bit" not in resumed
    assert RunFolder(str(tmp_path / "parts")).read_batch_parts() == 3
    whole, parts = (load_model(str(tmp_path / name)) for name in ("whole", "parts"))
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    run(tmp_path / "parts", **values, epochs=3, batch_parts=3)
    assert "bit for bit" not in capsys.readouterr().out
    run(tmp_path / "parts", **values, epochs=4, batch_parts=2)
    changed = capsys.readouterr().out
    assert "--batch_parts: was 3, now 2" in changed
    assert "CPU in 2 parts" in changed


@pytest.mark.long
def test_a_run_keeps_the_precision_that_auto_chose_at_its_start(tmp_path, monkeypatch, capsys):
    values = {"precision": "auto", "network": "conv", "encoder_filters": (4, 4)}
    values |= {"encoder_strides": (2, 2), "decoder_filters": (4, 4), "decoder_strides": (2,)}
    monkeypatch.setattr(devices, "has_bfloat16_instructions", lambda: True)
    run(tmp_path / "run", **values, epochs=1)
    assert "steps per call, bfloat16" in capsys.readouterr().out
    monkeypatch.setattr(devices, "has_bfloat16_instructions", lambda: False)
    run(tmp_path / "run", **values, epochs=2)
    resumed = capsys.readouterr().out
    assert "steps per call, bfloat16" in resumed
    assert "Resuming at step" in resumed
    config = RunFolder(str(tmp_path / "run")).read_config()
    assert config.model.precision == "bfloat16"
    run(tmp_path / "run", **values, epochs=2, overwrite=True)
    assert "steps per call, float32" in capsys.readouterr().out


@pytest.mark.long
def test_a_run_at_an_address_resumes_is_measured_and_exported(tmp_path, capsys, unchecked):
    # A file system of TensorFlow that lives in memory.
    address = "ram://runs/remote"
    values = {**TINY, "model_dir": address, "learning_rate": 0.01, "figures": True}
    for epochs in (1, 2):
        config = Config.from_flat({**values, "epochs": epochs})
        train.run(config)
    assert "Resuming at step" in capsys.readouterr().out
    train.run(config)
    assert f"{address} is finished" in capsys.readouterr().out
    run(tmp_path / "local", learning_rate=0.01, epochs=2)
    for a, b in zip(
        load_model(address).variables, load_model(str(tmp_path / "local")).variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)
    version = export_run(ExportOptions(model_dir=address, export_dir=str(tmp_path / "exports")))
    assert (tmp_path / "exports/remote/1/figures/samples.png").stat().st_size > 100
    assert load_predictor(version).sample(2).shape == (2, 8, 8, 1)
    with pytest.raises(ConfigError, match="--latent_dim: was 2, now 3"):
        train.run(Config.from_flat({**values, "latent_dim": 3}))
    train.run(Config.from_flat({**values, "latent_dim": 3, "epochs": 1, "overwrite": True}))


def test_an_address_that_cannot_be_reached_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="--model_dir=nosuch://runs/a: TensorFlow cannot reach"):
        run(tmp_path / "unused", model_dir="nosuch://runs/a")


MIRRORED = {"distribution_strategy": "mirrored"}


@pytest.mark.long
@pytest.mark.parametrize(
    ("jit_compile", "compilation"),
    [("false", "none"), pytest.param("true", "gradients", marks=pytest.mark.slow)],
)
def test_a_mirrored_run_ends_as_one_on_one_device_resumes_and_is_evaluated(
    tmp_path, capsys, jit_compile, compilation
):
    values = {"learning_rate": 0.01, "ema_decay": 0.5, "deterministic": False}
    values |= {"jit_compile": jit_compile}
    run(tmp_path / "one", **values, epochs=2)
    run(tmp_path / "two", **values, **MIRRORED, accumulate_steps=2, epochs=1)
    run(tmp_path / "two", **values, **MIRRORED, accumulate_steps=2, epochs=2)
    assert f"2 x CPU, XLA: {compilation}" in capsys.readouterr().out
    one, two = (load_model(str(tmp_path / name)) for name in ("one", "two"))
    for a, b in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)
    # On one device, which is chosen by its flags and not by those of the run.
    flags = [f"--model_dir={tmp_path}/two", "--device=gpu", "--tensorflow_log"]
    assert cli.main("", evaluate.EvaluateOptions, evaluate.run, flags) == 2
    refused = capsys.readouterr().err
    assert "--device_index=0 does not exist" in refused
    assert "--num_gpus" not in refused


def test_a_batch_that_replicas_cannot_share_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="multiple of 2"):
        run(tmp_path / "run", batch_size=9, **MIRRORED)
    assert not (tmp_path / "run").exists()


def test_profiled_steps_end_up_beside_the_summaries(tmp_path):
    run(tmp_path / "run", profile_steps="2-4", epochs=2)
    assert list((tmp_path / "run/summaries/plugins/profile").glob("*/*.xplane.pb"))


@pytest.mark.long
@pytest.mark.parametrize("jit_compile", ["false", pytest.param("true", marks=pytest.mark.slow)])
def test_nothing_is_traced_after_the_first_epoch(tmp_path, monkeypatch, jit_compile):
    """Neither by blocks of other lengths nor by validation, nor by resuming a run."""
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
        # Five steps per epoch in blocks of at most three: ends of epochs and checkpoints cut some.
        run(folder, jit_compile=jit_compile, batch_size=4, **values)
        return len(traces)

    once = count(tmp_path / "short", epochs=1)
    assert once >= 3  # Training, validation, test.
    assert count(tmp_path / "long", epochs=4, checkpoint_every=3) == once
    # Ends within the second epoch, resumes within it.
    assert count(tmp_path / "parts", train_steps=8, checkpoint_every=5) == once
    assert count(tmp_path / "parts", train_steps=21, checkpoint_every=5) == once


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"batch_size": 999}, "--batch_size=999 must be at most"),
        ({"device": "gpu", "device_index": 77}, "does not exist"),
        ({"dataset": "npz:/nowhere.npz"}, "no such file"),
        ({"freeze": "nothing"}, "names none of"),
        ({"init_from": "/nowhere"}, "found no such folder|no such folder"),
    ],
    ids=str,
)
def test_a_run_is_not_overwritten_by_one_that_cannot_start(finished_copy, wrong, message):
    folder = finished_copy
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    before = {path: path.read_bytes() for path in files}
    with pytest.raises((ConfigError, DataError, RunError), match=message):
        run(folder, epochs=1, overwrite=True, **wrong)
    after = sorted(path for path in folder.rglob("*") if path.is_file())
    assert {path: path.read_bytes() for path in after} == before


def test_a_run_is_overwritten(finished_copy):
    _, metrics = run(finished_copy, train_steps=2, overwrite=True, seed=3)
    assert (metrics["step"], metrics["flags"]["seed"]) == (2, 3)


def test_a_finished_run_builds_nothing(finished, monkeypatch, capsys):
    def refuse(*arguments):
        raise AssertionError("a model was built")

    monkeypatch.setattr(assembly, "build_model", refuse)
    run(finished, epochs=2)
    run(finished, epochs=1)
    assert capsys.readouterr().out.count("is finished") == 2
    with pytest.raises(AssertionError, match="a model was built"):
        run(finished, epochs=3)


def test_a_run_out_of_patience_is_finished(tmp_path, capsys):
    values = {"early_stopping_patience": 1, "learning_rate": 1e-12, "epochs": 9}
    _, metrics = run(tmp_path / "run", **values)
    assert len(metrics["history"]) < 9
    capsys.readouterr()
    run(tmp_path / "run", **values)
    assert "is finished" in capsys.readouterr().out


def test_the_best_model_is_built_once_after_training(tmp_path, monkeypatch, unchecked):
    built = []
    build = assembly.build_model
    monkeypatch.setattr(assembly, "build_model", lambda *a: built.append(a) or build(*a))
    run(tmp_path / "run", epochs=1, corruption="mask", export_dir=str(tmp_path / "exports"))
    # For training, and with the best weights for metrics, figures, scores and export.
    assert len(built) == 2


class NanInFirstEpoch:
    """A validation whose first epoch is not a number."""

    def __init__(self, build):
        self._build = build

    def __call__(self, *arguments):
        validation = self._build(*arguments)

        def measure(step):
            means = validation.measure(step)
            return dict.fromkeys(means, np.nan) if step == 3 else means

        return validation._replace(measure=measure)


def test_a_score_that_is_not_a_number_does_not_stay_the_best(tmp_path, monkeypatch):
    build = NanInFirstEpoch(training.build_validation)
    monkeypatch.setattr(training, "build_validation", build)
    _, metrics = run(tmp_path / "run", epochs=3, learning_rate=0.01)
    assert metrics["history"][0]["validation"]["elbo"] is None
    assert metrics["best_epoch"] > 1
    assert (tmp_path / f"run/best/ckpt-{3 * metrics['best_epoch']}.index").is_file()
    run(tmp_path / "run", epochs=3, learning_rate=0.01)


@pytest.mark.parametrize(
    ("values", "criterion", "name"),
    [
        pytest.param({}, "elbo", "elbo", marks=pytest.mark.long),
        ({"kl_weight": 20.0}, "loss", "loss"),
        pytest.param(
            {"kl_weight": 20.0, "best_by": "elbo"}, "elbo", "elbo", marks=pytest.mark.long
        ),
        ({"pixel_reduction": "mean"}, "loss", "loss"),
    ],
    ids=str,
)
def test_the_best_epoch_is_that_of_the_criterion(tmp_path, values, criterion, name):
    _, metrics = run(tmp_path / "run", epochs=4, learning_rate=0.05, seed=2, **values)
    assert metrics["best_by"] == criterion
    scores = [record["validation"][name] for record in metrics["history"]]
    best = np.argmax(scores) if criterion == "elbo" else np.argmin(scores)
    assert metrics["best_epoch"] == best + 1


@pytest.mark.long
def test_training_leaves_the_determinism_of_the_process_alone(tmp_path):
    from tensorflow.python.framework import config as framework_config

    was_enabled = framework_config.is_op_determinism_enabled()
    framework_config.disable_op_determinism()
    try:
        config, _ = run(tmp_path / "run", epochs=1)
        assert config.training.deterministic
        assert not framework_config.is_op_determinism_enabled()
        tf.random.normal([2])
        flags = [f"--model_dir={tmp_path}/run", "--tensorflow_log"]
        assert cli.main("", evaluate.EvaluateOptions, evaluate.run, flags) == 0
        assert not framework_config.is_op_determinism_enabled()
    finally:
        if was_enabled:
            tf.config.experimental.enable_op_determinism()


def raise_at(signals, error):
    def finish_run(*arguments):
        if signals:
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGTERM)
        raise error

    return finish_run


@pytest.mark.parametrize(
    ("signals", "error"),
    [
        (False, KeyboardInterrupt()),
        # TensorFlow may turn the exception of a handler into another one.
        (True, tf.errors.CancelledError(None, None, "interrupted")),
    ],
    ids=["exception", "turned into another"],
)
def test_a_signal_while_a_run_is_measured_says_what_is_saved(
    tmp_path, monkeypatch, capsys, signals, error
):
    monkeypatch.setattr(training, "finish_run", raise_at(signals, error))
    values = {**TINY, "model_dir": str(tmp_path / "run"), "epochs": 1}
    flags = [f"--{name}={format_value(value)}" for name, value in values.items()]
    assert cli.main("", Config, train.run, flags) == 75
    name = "SIGTERM" if signals else "Ctrl-C"
    said = rf"{name}: step 3 is saved\. The same command does the rest: .*{tmp_path}/run/flags\.cfg"
    assert re.search(said, capsys.readouterr().err)
    monkeypatch.undo()
    run(tmp_path / "run", epochs=1)


def test_a_signal_before_there_is_a_state_has_nothing_to_resume_from(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "load_dataset", raise_at(True, KeyboardInterrupt()))
    flags = [f"--model_dir={tmp_path}/run"]
    assert cli.main("", Config, train.run, flags) == 130
    said = capsys.readouterr().err
    assert "SIGTERM: stopped before the end, with nothing to resume from" in said
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_images_of_one_row_are_images_and_vectors_need_a_model_for_vectors(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, [60, 1, 7], np.uint8)
    np.savez(tmp_path / "rows.npz", image=rows)
    np.savez(tmp_path / "vectors.npz", image=rows[:, 0] / 255.0)
    settings = {"epochs": 1, "figures": True, "latent_dim": 3}
    found = {}
    for name, kind in (("rows", "gaussian"), ("vectors", "gaussian"), ("bernoulli", "bernoulli")):
        data = "vectors" if name == "vectors" else "rows"
        values = {"dataset": f"npz:{tmp_path}/{data}.npz", "likelihood": kind, **settings}
        found[name] = run(tmp_path / name, **values)[1]["test"]["elbo"]
    assert found["rows"] == pytest.approx(found["vectors"], rel=1e-5)
    assert np.isfinite(found["bernoulli"])
    # Of rows of numbers there are no pictures.
    drawn = {path.stem for path in (tmp_path / "vectors" / "figures").iterdir()}
    assert drawn == {"latent", "curves"}
    for flag, value in (("likelihood", "bernoulli"), ("network", "conv")):
        config = Config.from_flat(
            {
                **TINY,
                "dataset": f"npz:{tmp_path}/vectors.npz",
                "likelihood": "gaussian",
                "model_dir": str(tmp_path / "other"),
                flag: value,
            }
        )
        with pytest.raises(ConfigError, match=rf"vectors .* need --{flag}=.*, got '{value}'"):
            train.run(config)
