"""Anomaly detection of tiny runs: other data, classes, errors, and exports of the same scores."""

import json
import os
import re

import numpy as np
import pytest
from experiment.tiny_run import TINY, run
from scipy import special
from sklearn import metrics as sklearn_metrics

from vae_lowlevel import cli, evaluate, train
from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment.anomaly import find_normal_scores
from vae_lowlevel.experiment.anomaly_evaluation import (
    compute_scores,
    held_out_class,
    other_dataset,
)
from vae_lowlevel.experiment.evaluating import Subject
from vae_lowlevel.experiment.exporting import export_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best, load_predictor
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import Examples

SCORES = ("negative_elbo", "distortion", "rate", "bias_corrected", "nll", "likelihood_regret")
SHAPES = {"shapes_examples": 120, "validation_size": 12, "epochs": 1, "latent_dim": 3}
QUICK = {"metrics": "anomaly", "anomaly_samples": 3, "regret_steps": 3, "decode_batch": 128}


@pytest.fixture(scope="module")
def without_squares(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "without_squares"
    run(folder, **SHAPES, anomaly_class="square")
    return str(folder)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Twelve images of noise, two of them in the test split, as --dataset names them."""
    path = str(tmp_path_factory.mktemp("data") / "noise.npz")
    image = np.random.default_rng(0).integers(0, 256, [14, 8, 8, 1]).astype(np.uint8)
    np.savez(path, image=image[:2], test_image=image[2:])
    return f"npz:{path}"


def measure(folder, capsys, **options):
    flags = [f"--{name}={value}" for name, value in {**QUICK, **options}.items()]
    words = [f"--model_dir={folder}", *flags, "--tensorflow_log"]
    code = cli.main("", EvaluateOptions, evaluate.run, words)
    shown = capsys.readouterr()
    if code:
        return code, shown.err
    with open(os.path.join(folder, "metrics.json"), encoding="utf-8") as file:
        return json.load(file)["anomaly"], shown.out


def subject_of(folder, **options):
    options = EvaluateOptions(model_dir=folder, **{**QUICK, **options})
    folder = RunFolder(folder)
    config = folder.read_config()
    return Subject(config, folder, load_dataset(config.data), load_best(folder).model, options)


@pytest.mark.long
def test_noise_is_told_from_the_images_of_training(without_squares, noise, capsys):
    found, shown = measure(without_squares, capsys, ood_dataset=noise)
    test = load_dataset(RunFolder(without_squares).read_config().data).test
    # The class that was left out of training is neither.
    assert found["normal_examples"] == np.sum(test.label != 1) < len(test)
    assert found["anomaly_examples"] == 12
    assert found["ood_dataset"] == noise
    assert found["absent"] == {}
    assert found["distortion"] == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    best = max(SCORES, key=lambda name: found[name]["auroc"])
    assert found[found["best_score"]]["auroc"] == found[best]["auroc"]
    assert "distortion.auroc" in shown


def test_examples_limits_both_kinds(without_squares, noise):
    contrast = other_dataset(subject_of(without_squares, ood_dataset=noise, examples=5))
    assert len(contrast.anomalies) == 5
    with np.load(noise.removeprefix("npz:")) as arrays:
        np.testing.assert_array_equal(contrast.anomalies.image, arrays["test_image"][:5])


@pytest.mark.long
def test_the_class_left_out_of_training_is_the_anomaly(without_squares, capsys):
    found, shown = measure(without_squares, capsys)
    assert (found["anomaly_class"], found["trained_with_the_class"]) == ("square", False)
    assert "trained_with_the_class" in shown
    subject = subject_of(without_squares)
    test = subject.dataset.test
    is_square = test.label == 1
    assert (found["normal_examples"], found["anomaly_examples"]) == (
        20 - sum(is_square),
        sum(is_square),
    )
    scores, _ = compute_scores(subject, test)
    for name in ("negative_elbo", "distortion", "rate", "bias_corrected"):
        wanted = sklearn_metrics.roc_auc_score(is_square, scores[name])
        assert found[name]["auroc"] == pytest.approx(wanted, abs=1e-6)


def test_another_class_may_be_the_anomaly_and_the_one_left_out_is_not_normal(without_squares):
    for name in ("0", "ellipse"):
        contrast = held_out_class(subject_of(without_squares, anomaly_class=name))
        assert contrast.facts == {"anomaly_class": "ellipse", "trained_with_the_class": True}
        assert set(contrast.normal.label) == {2}
        assert set(contrast.anomalies.label) == {0}


def test_scores_are_those_of_the_model(without_squares):
    subject = subject_of(without_squares, anomaly_samples=200)
    test = subject.dataset.test
    scores, absent = compute_scores(subject, test)
    assert set(scores) == set(SCORES)
    assert absent == {}
    terms = load_predictor(without_squares).score(test.image)
    np.testing.assert_array_equal(scores["negative_elbo"], -terms.elbo)
    np.testing.assert_array_equal(scores["rate"], terms.rate)
    np.testing.assert_allclose(scores["negative_elbo"], scores["distortion"] + scores["rate"])
    # The bound of many draws is closer to log p(x) than the ELBO of draws, and near it here.
    np.testing.assert_allclose(scores["nll"], scores["negative_elbo"], rtol=0.05)
    # What is left of a grey pixel's cross-entropy when the decoder is at its best: the entropy.
    x = test.image / 255.0
    best = (special.xlogy(x, x) + special.xlogy(1 - x, 1 - x)).sum((1, 2, 3))
    assert np.all(best < -0.1)
    np.testing.assert_allclose(scores["bias_corrected"], scores["negative_elbo"] + best, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "missing"),
    [
        ({"model": "sparse_autoencoder"}, set(SCORES) - {"distortion"}),
        pytest.param(
            {"posterior": "iaf", "conditional": True},
            {"likelihood_regret"},
            marks=pytest.mark.long,
        ),
    ],
    ids=["sparse", "iaf"],
)
def test_scores_that_a_model_does_not_have_are_named(settings, missing, noise, tmp_path, capsys):
    run(tmp_path / "run", **SHAPES, **settings)
    found, shown = measure(tmp_path / "run", capsys, ood_dataset=noise)
    assert set(found["absent"]) == missing
    assert {name for name in SCORES if found[name] is None} == missing
    assert found["best_score"] in set(SCORES) - missing
    reason = "needs a Gaussian posterior" if "posterior" in settings else "has no prior"
    assert f"absent.{next(iter(missing))}" in shown
    assert reason in shown


def test_a_score_that_is_not_a_number_is_absent(without_squares, noise, monkeypatch, capsys):
    from vae_lowlevel.experiment import anomaly_evaluation

    def broken(subject, examples):
        score = np.arange(len(examples), dtype=np.float32)
        return {"rate": score, "nll": np.where(score == 3, np.nan, score)}, {}

    monkeypatch.setattr(anomaly_evaluation, "compute_scores", broken)
    found, _ = measure(without_squares, capsys, ood_dataset=noise)
    assert found["nll"] is None
    assert found["absent"] == {"nll": "NaN for 1 images"}
    assert found["best_score"] == "rate"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"ood_dataset": "shapes"}, "--ood_dataset=shapes is the data set of "),
        ({"ood_dataset": "nothing"}, "--ood_dataset: --dataset must be one of .* got 'nothing'"),
        ({"ood_dataset": "npz:x", "anomaly_class": "1"}, "exclude each other"),
        ({"anomaly_class": "circle"}, "must be one of ellipse, square, heart, .* got 'circle'"),
        ({"examples": 1}, r"found \d of it and \d others among 1; .* raise --examples"),
        ({"metrics": "test", "anomaly_class": "1"}, "--anomaly_class=1 needs --metrics=anomaly"),
    ],
    ids=str,
)
def test_what_cannot_be_measured_is_refused(without_squares, options, message, capsys):
    code, error = measure(without_squares, capsys, **options)
    assert code == 2
    assert re.search(message, error)


def test_images_of_another_size_are_refused(without_squares, tmp_path, capsys):
    np.savez(tmp_path / "large.npz", image=np.zeros([3, 9, 8], np.uint8))
    code, error = measure(without_squares, capsys, ood_dataset=f"npz:{tmp_path}/large.npz")
    assert code == 2
    assert "has images of 9 x 8 x 1, expected those of the model of" in error
    assert "8 x 8 x 1; name another" in error


def test_without_anomalies_nothing_is_measured(tiny_run, capsys):
    code, error = measure(tiny_run, capsys)
    assert code == 2
    assert "give --ood_dataset=<data set>, or --anomaly_class=<class>" in error


def test_a_run_resumes_with_its_class_only(without_squares):
    changed = Config.from_flat({**TINY, **SHAPES, "model_dir": without_squares})
    with pytest.raises(ConfigError, match="--anomaly_class: was square, now not set"):
        train.run(changed)


def test_each_kind_of_score_has_normal_scores_of_its_own(without_squares):
    folder, best = RunFolder(without_squares), load_best(RunFolder(without_squares))
    validation = load_dataset(folder.read_config().data).validation
    terms = load_predictor(without_squares).score(validation.image)
    wanted = {"rate": terms.rate, "distortion": terms.distortion, "negative_elbo": -terms.elbo}
    for kind in (*wanted, "rate"):
        serving = ServingModel(best.model, anomaly_score=kind)
        found = find_normal_scores(serving, best, folder)
        np.testing.assert_allclose(found.score, wanted[kind], rtol=1e-5)


@pytest.mark.long
def test_an_export_has_the_score_that_was_measured_and_its_threshold(
    without_squares, tmp_path, unchecked
):
    subject = subject_of(without_squares)
    validation, test = subject.dataset.validation, subject.dataset.test
    image = np.concatenate([validation.image, test.image])
    scores, _ = compute_scores(subject, Examples(image, np.full(len(image), -1, np.int32)))
    wanted, normal = scores["bias_corrected"], len(validation)
    options = ExportOptions(
        model_dir=without_squares,
        export_dir=str(tmp_path),
        anomaly_score="bias_corrected",
        anomaly_quantile=0.5,
    )
    path = export_run(options)
    found = load_predictor(path).score(image)
    np.testing.assert_allclose(found.anomaly_score, wanted, rtol=1e-5)
    np.testing.assert_array_equal(found.is_anomaly, wanted > np.quantile(wanted[:normal], 0.5))
    assert 0 < np.sum(found.is_anomaly[:normal]) < normal
    with open(os.path.join(path, "MODEL_CARD.md"), encoding="utf-8") as file:
        assert "- `anomaly_score` is bias_corrected: `distortion + rate` + log p*(x)" in file.read()
