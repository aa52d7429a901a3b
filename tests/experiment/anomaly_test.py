import os
import pathlib
import shutil

import numpy as np
import pytest

import vae_lowlevel.data.load
from vae_lowlevel.errors import DataError, RunError
from vae_lowlevel.experiment.anomaly import FILE, NormalScores, normal_scores
from vae_lowlevel.experiment.loading import load, load_model_and_weights


@pytest.fixture
def run_copy(tiny_run, tmp_path):
    folder = pathlib.Path(shutil.copytree(tiny_run, tmp_path / "run"))
    (folder / FILE).unlink(missing_ok=True)
    return folder


@pytest.fixture
def no_data(monkeypatch):
    def load(config):
        raise DataError("no such file")

    monkeypatch.setattr(vae_lowlevel.data.load, "load_dataset", load)


def scores_of(folder):
    return normal_scores(*load_model_and_weights(str(folder)), str(folder))


def test_scores_are_those_of_the_validation_images(run_copy):
    from vae_lowlevel.experiment.folder import RunFolder

    found = scores_of(run_copy)
    images = vae_lowlevel.data.load.load_dataset(RunFolder(str(run_copy)).read_config().data).validation.image
    wanted = load(str(run_copy)).score(images).anomaly_score
    assert found.split == "validation"
    np.testing.assert_allclose(found.score, wanted, rtol=1e-6)
    assert os.path.isfile(run_copy / FILE)


def test_kept_scores_need_no_data(run_copy, monkeypatch):
    measured = scores_of(run_copy)

    def refuse(config):
        raise AssertionError("data were read")

    monkeypatch.setattr(vae_lowlevel.data.load, "load_dataset", refuse)
    np.testing.assert_array_equal(scores_of(run_copy).score, measured.score)


def test_scores_of_other_weights_are_measured_again(run_copy):
    measured = scores_of(run_copy)
    stale = NormalScores(np.zeros([3], np.float32), "validation", "ckpt-of-before")
    with open(run_copy / FILE, "wb") as file:
        np.savez(file, **stale._asdict())
    np.testing.assert_array_equal(scores_of(run_copy).score, measured.score)


def test_without_scores_and_data(run_copy, no_data):
    with pytest.raises(RunError, match=r"anomaly_scores\.npz.*no such file\n.*DATA_DIR"):
        scores_of(run_copy)


def test_a_damaged_file_is_named(run_copy):
    (run_copy / FILE).write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"anomaly_scores\.npz: not what training wrote"):
        scores_of(run_copy)


def test_threshold_is_a_quantile():
    scores = NormalScores(np.arange(101, dtype=np.float32), "validation", "ckpt-1")
    assert scores.threshold(0.99) == pytest.approx(99.0)
    assert scores.threshold(1.0) == 100.0
