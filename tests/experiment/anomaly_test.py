import os
import pathlib
import shutil

import numpy as np
import pytest

from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import DataError, RunError
from vae_lowlevel.experiment import anomaly
from vae_lowlevel.experiment.anomaly import NormalScores, find_normal_scores
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best, load_predictor
from vae_lowlevel.serving.signatures import ServingModel


@pytest.fixture
def folder(tiny_run, tmp_path):
    folder = RunFolder(str(shutil.copytree(tiny_run, tmp_path / "run")))
    for precision in ("float32", "bfloat16"):
        pathlib.Path(folder.anomaly_scores(precision)).unlink(missing_ok=True)
    return folder


@pytest.fixture
def no_data(monkeypatch):
    def refuse(config):
        raise DataError("no such file")

    monkeypatch.setattr(anomaly, "load_dataset", refuse)


def scores_of(folder, precision="float32"):
    best = load_best(folder, precision)
    return find_normal_scores(ServingModel(best.model), best, folder)


def test_scores_are_those_of_the_validation_images(folder):
    found = scores_of(folder)
    images = load_dataset(folder.read_config().data).validation.image
    wanted = load_predictor(folder.path).score(images).anomaly_score
    assert found.split == "validation"
    np.testing.assert_allclose(found.score, wanted, rtol=1e-6)
    assert os.path.isfile(folder.anomaly_scores("float32"))


def test_each_precision_has_scores_of_its_own(folder):
    single, half = scores_of(folder), scores_of(folder, "bfloat16")
    assert np.any(single.score != half.score)
    np.testing.assert_allclose(half.score, single.score, rtol=0.1)
    for precision, scores in (("float32", single), ("bfloat16", half)):
        np.testing.assert_array_equal(scores_of(folder, precision).score, scores.score)


def test_kept_scores_need_no_data(folder, monkeypatch):
    measured = scores_of(folder)

    def refuse(config):
        raise AssertionError("data were read")

    monkeypatch.setattr(anomaly, "load_dataset", refuse)
    np.testing.assert_array_equal(scores_of(folder).score, measured.score)


def test_scores_of_other_weights_are_measured_again(folder):
    measured = scores_of(folder)
    stale = NormalScores(np.zeros([3], np.float32), "validation", "ckpt-of-before")
    with open(folder.anomaly_scores("float32"), "wb") as file:
        np.savez(file, **stale._asdict())
    np.testing.assert_array_equal(scores_of(folder).score, measured.score)


@pytest.mark.usefixtures("no_data")
def test_without_scores_and_data(folder):
    with pytest.raises(RunError, match=r"anomaly_scores\.npz.*no such file\n.*DATA_DIR"):
        scores_of(folder)


def test_a_damaged_file_is_named(folder):
    pathlib.Path(folder.anomaly_scores("float32")).write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"anomaly_scores\.npz: not what training wrote"):
        scores_of(folder)


def test_threshold_is_a_quantile():
    scores = NormalScores(np.arange(101, dtype=np.float32), "validation", "ckpt-1")
    assert scores.threshold(0.99) == pytest.approx(99.0)
    assert scores.threshold(1.0) == 100.0
