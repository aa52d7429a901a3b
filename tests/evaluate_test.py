"""Runs of every kind of model, trained for a moment, measured and used."""

from __future__ import annotations

import json
import os
import re

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import cli, evaluate, inference, train
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model, load_predictor
from vae_lowlevel.randomness import fold, make_seed

SETTINGS = {
    "dataset": "shapes",
    "image_size": 8,
    "shapes_examples": 60,
    "validation_size": 10,
    "network": "mlp",
    "latent_dim": 2,
    "encoder_units": (8,),
    "decoder_units": (8,),
    "batch_size": 10,
    "epochs": 1,
    "steps_per_loop": 5,
    "evaluation_batch_size": 10,
    "export_dir": "",
    "jit_compile": "false",
}
KINDS = {
    "sparse": {"model": "sparse_autoencoder", "corruption": "gaussian", "ema_decay": 0.5},
    "conditional": {"conditional": True, "capacity": 2.0, "precision": "float16"},
}


@pytest.fixture(
    scope="module", params=["conditional", pytest.param("sparse", marks=pytest.mark.long)]
)
def run(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / request.param
    train.run(Config.from_flat({**SETTINGS, **KINDS[request.param], "model_dir": str(folder)}))
    return str(folder)


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory, without_replay):
    options = ExportOptions(model_dir=run, export_dir=str(tmp_path_factory.mktemp("exports")))
    with without_replay():
        return export_run(options)


def metrics(run):
    with open(os.path.join(run, "metrics.json"), encoding="utf-8") as file:
        return json.load(file)


def call(module, options, *words):
    return cli.main("", options, module.run, [*words, "--tensorflow_log"])


def is_sparse(run):
    return os.path.basename(run) == "sparse"


def test_run_reports_the_terms_of_its_objective(run):
    names = {"loss", "mse", "psnr", "ssim", "active_units", "latents"}
    names |= {"reconstruction", "penalty", "mean_activation"} if is_sparse(run) else set()
    names |= set() if is_sparse(run) else {"elbo", "distortion", "rate"}
    assert set(metrics(run)["test"]) == names
    columns = set(metrics(run)["history"][0]["train"])
    assert ("capacity" in columns) == ("loss_scale" in columns) == (not is_sparse(run))


def test_figures_show_what_the_model_can_do(run):
    shown = {"reconstructions", "latent", "curves"}
    shown |= {"units", "codes"} if is_sparse(run) else {"samples", "classes", "traversals"}
    found = {name.removesuffix(".png") for name in os.listdir(os.path.join(run, "figures"))}
    # Of corrupted images, and one that is drawn during the training.
    assert found - {"denoising", "progress"} == shown


def test_a_denoising_run_is_validated_and_tested_on_images_corrupted_as_in_training(run):
    if not is_sparse(run):
        assert "test_corrupted" not in metrics(run)
        return
    config, model = RunFolder(run).read_config(), load_model(run)
    strength = config.objective.corruption_strength
    dataset = load_dataset(config.data)

    def mse(examples, seed):
        image = tf.constant(examples.image / 255.0, tf.float32)
        noise = tf.random.stateless_normal(image.shape, fold(seed, "corruption"))
        noisy = tf.clip_by_value(image + strength * noise, 0.0, 1.0)
        return float(tf.reduce_mean((model.reconstruct(noisy) - image) ** 2))

    # The first batch of seed 0, whatever the run's; ten images each.
    seed = fold(fold(make_seed(0), "evaluation"), 0)
    found = metrics(run)
    assert found["history"][0]["validation"]["mse"] == pytest.approx(mse(dataset.validation, seed))
    corrupted = found["test_corrupted"]
    assert corrupted["mse"] == pytest.approx(mse(dataset.test, seed), rel=1e-5)
    assert (corrupted["corruption"], corrupted["corruption_strength"]) == ("gaussian", strength)
    assert os.path.isfile(os.path.join(run, "figures", "denoising.png"))


@pytest.mark.long
@pytest.mark.parametrize("corruption", ["gaussian", "mask", "salt_and_pepper"])
def test_corrupted_images_are_measured_beside_the_clean_ones(run, corruption, capsys):
    before = metrics(run)["test"]
    flags = [f"--model_dir={run}", f"--corruption={corruption}", "--corruption_strength=0.9"]
    assert call(evaluate, evaluate.EvaluateOptions, *flags) == 0
    assert f"test split, {corruption}" in capsys.readouterr().out
    after = metrics(run)
    assert after["test"] == before
    corrupted = after["test_corrupted"]
    assert (corrupted["corruption"], corrupted["corruption_strength"]) == (corruption, 0.9)
    assert corrupted["mse"] != before["mse"]
    assert os.path.isfile(os.path.join(run, "figures", "denoising.png"))


def test_evaluate_without_corruption_gives_the_numbers_of_the_run(run):
    before = metrics(run)["test"]
    assert call(evaluate, evaluate.EvaluateOptions, f"--model_dir={run}") == 0
    assert metrics(run)["test"] == before


def test_evaluate_measures_what_is_named(run, capsys):
    before = metrics(run)
    flags = [f"--model_dir={run}", "--metrics=likelihood,samples", "--sampler=aggregate"]
    flags += ["--importance_samples=20", "--examples=6", "--decode_batch=30"]
    flags += ["--proposal=fitted", "--proposal_scale=1.2"]
    if is_sparse(run):
        assert call(evaluate, evaluate.EvaluateOptions, *flags) == 2
        assert "--metrics=likelihood needs a model with a prior" in capsys.readouterr().err
        assert metrics(run) == before
        return
    assert call(evaluate, evaluate.EvaluateOptions, *flags) == 0
    after = metrics(run)
    assert {name: after[name] for name in before} == before
    likelihood = after["likelihood"]
    assert (likelihood["importance_samples"], likelihood["examples"]) == (20, 6)
    assert (likelihood["proposal"], likelihood["proposal_scale"]) == ("fitted", 1.2)
    assert list(likelihood["bounds"]) == ["1", "10", "20"]
    assert likelihood["nll"] == -likelihood["bounds"]["20"]
    assert set(after["samples"]) == {"prior", "aggregate"}
    shown = capsys.readouterr().out
    assert re.search(rf"nll +{likelihood['nll']:.4f}\n", shown)
    assert "aggregate.code_nll" in shown


def test_hidden_layers_are_measured_in_the_precision_of_the_flag(run):
    if is_sparse(run):
        return

    def measure(*words):
        flags = [f"--model_dir={run}", "--metrics=decomposition", "--examples=20", *words]
        assert call(evaluate, evaluate.EvaluateOptions, *flags) == 0
        return metrics(run)["decomposition"]

    exact = measure()
    rounded = measure("--precision=bfloat16")
    assert rounded.pop("precision") == "bfloat16"
    assert "precision" not in exact
    assert rounded["mutual_information"] != exact["mutual_information"]
    assert rounded["mutual_information"] == pytest.approx(exact["mutual_information"], abs=0.02)


@pytest.mark.parametrize("names", ["likelihod", "", "test,"])
def test_metrics_that_do_not_exist_are_named(run, names, capsys):
    code = call(evaluate, evaluate.EvaluateOptions, f"--model_dir={run}", f"--metrics={names}")
    assert code == (0 if names == "test," else 2)
    if code:
        assert "--metrics must be some of test, likelihood" in capsys.readouterr().err


def test_strength_above_all_pixels_is_refused(run, capsys):
    flags = [f"--model_dir={run}", "--corruption=mask", "--corruption_strength=1.5"]
    assert call(evaluate, evaluate.EvaluateOptions, *flags) == 2
    assert "must be at most 1, got 1.5" in capsys.readouterr().err


def test_run_and_export_answer_alike(run, exported):
    image = np.random.default_rng(0).uniform(size=[3, 8, 8, 1]).astype(np.float32)
    label = {} if is_sparse(run) else {"label": np.array([0, 2, -1])}
    own, other = load_predictor(run), load_predictor(exported)
    assert own.can_sample == other.can_sample == (not is_sparse(run))
    assert own.is_conditional == other.is_conditional == (not is_sparse(run))
    assert own.latent_dim == other.latent_dim == 2
    encoded = own.encode(image, **label).to_dict()
    for name, value in other.encode(image, **label).to_dict().items():
        np.testing.assert_allclose(value, encoded[name], atol=1e-6)
    distortion = own.score(image, **label).distortion
    np.testing.assert_allclose(other.score(image, **label).distortion, distortion, rtol=1e-5)
    np.testing.assert_allclose(
        own.reconstruct(image, **label), other.reconstruct(image, **label), atol=1e-6
    )
    between = other.interpolate(image[:2], image[1:], 3, **({} if is_sparse(run) else {"label": 1}))
    assert between.shape == (2, 3, 8, 8, 1)


def test_sample_says_what_it_needs_or_that_there_is_none(run, exported):
    model = load_predictor(exported)
    if is_sparse(run):
        with pytest.raises(ValueError, match="has no prior over its codes"):
            model.sample(2)
        with pytest.raises(ValueError, match="it takes no label"):
            model.decode(np.zeros([1, 2]), label=0)
        return
    np.testing.assert_array_equal(
        model.sample(4, 0, label=2), model.sample(4, 0, label=np.array([2, 2, 2, 2]))
    )
    assert np.abs(model.sample(2, 0, label=2) - model.sample(2, 0, label=0)).max() > 1e-4
    for label, message in [
        (None, "it needs a label"),
        (3, r"sample: label must be in \[-1, 2\]"),
        ([0, 1], r"integers \[4\], got int64 \[2\]"),
        (1.0, "must be an integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.sample(4, 0, label=label)


def infer(command, model, path, *flags):
    words = [command, f"--model_dir={model}", f"--output={path}", *flags, "--tensorflow_log"]
    return inference.main(words)


@pytest.mark.long
def test_inference_samples_the_class_asked_for_or_gives_the_reason(run, exported, tmp_path, capsys):
    path = tmp_path / "x.npz"
    if is_sparse(run):
        assert infer("sample", exported, path) == 2
        assert "cannot be sampled: it has no prior" in capsys.readouterr().err
        assert infer("encode", run, path, "--label=1") == 2
        assert "--label=1: the model is not conditional" in capsys.readouterr().err
        assert infer("encode", run, path, "--count=3") == 0
        assert np.load(path)["code"].shape == (3, 2)
        return
    assert infer("sample", exported, path, "--label=1", "--count=3") == 0
    np.testing.assert_array_equal(
        np.load(path)["image"], load_predictor(exported).sample(3, 0, label=1)
    )
    assert infer("sample", exported, path) == 2
    assert "--label is needed" in capsys.readouterr().err
    assert infer("sample", exported, path, "--label=3") == 2
    assert "label must be in [-1, 2]" in capsys.readouterr().err


def test_inference_takes_the_labels_of_test_images(run, tmp_path):
    from vae_lowlevel.data.load import load_dataset
    from vae_lowlevel.experiment.folder import RunFolder

    path = tmp_path / "x.npz"
    assert infer("reconstruct", run, path, "--count=5") == 0
    test = load_dataset(RunFolder(run).read_config().data).test[:5]
    label = {} if is_sparse(run) else {"label": test.label}
    wanted = load_predictor(run).reconstruct(test.image, **label)
    np.testing.assert_allclose(np.load(path)["image"], wanted, atol=1e-6)
    if label:
        other = load_predictor(run).reconstruct(test.image, label=(test.label + 1) % 3)
        assert np.abs(other - wanted).max() > 1e-4


@pytest.mark.long
def test_a_run_starts_from_another_and_trains_a_part_of_it(run, exported, tmp_path, capsys):
    source = load_model(run)
    settings = {**SETTINGS, **KINDS[os.path.basename(run)], "epochs": None, "train_steps": 5}
    settings |= {"init_from": exported, "freeze": "encoder", "model_dir": str(tmp_path / "run")}
    # Another size of decoder: its head fits in its bias alone.
    settings["decoder_units"] = (9,)
    train.run(Config.from_flat(settings))
    shown = capsys.readouterr().out
    assert f"5 variables start from {exported}" in shown
    assert (
        "not restored: decoder/head/kernel: of shape [8, 64] in the checkpoint, [9, 64] here"
        in shown
    )
    assert "frozen: encoder/dense_0/bias, encoder/dense_0/kernel, encoder/head/bias" in shown
    trained = load_model(str(tmp_path / "run"))
    for own, given in zip(trained.encoder.variables, source.encoder.variables, strict=True):
        np.testing.assert_array_equal(own, given)
    assert np.any(trained.decoder.layers[1].bias.numpy() != source.decoder.layers[1].bias.numpy())
    # When it resumes, it restores its own state and does not look for the other run.
    train.run(Config.from_flat({**settings, "train_steps": 10}))
    assert "Resuming at step 5" in (shown := capsys.readouterr().out)
    assert "start from" not in shown
