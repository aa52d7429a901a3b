import json
import os

import numpy as np
import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment.folder import RunFolder, check_same_run, open_run_folder
from vae_lowlevel.types import Dataset, Examples


@pytest.fixture
def config(tmp_path):
    return Config.from_flat({"model_dir": str(tmp_path / "run"), "latent_dim": 4})


@pytest.fixture
def folder(config):
    folder, _ = open_run_folder(config)
    empty = Examples(np.zeros([0, 8, 6, 1], np.uint8), np.zeros([0], np.int32))
    folder.begin(config, Dataset(empty, empty, empty, ("a", "b")))
    return folder


def test_the_same_settings_open_it_again(folder, config):
    again, notes = open_run_folder(config)
    assert (again.path, notes) == (folder.path, [])


def test_the_data_are_described(folder, config):
    with open(f"{folder.path}/data.json") as file:
        assert json.load(file) == {
            "image_shape": [8, 6, 1],
            "class_names": ["a", "b"],
            "factor_names": [],
        }


def test_another_model_is_refused_with_every_difference(folder, config):
    other = config.replace(latent_dim=5, dataset="mnist", steps_per_loop=3)
    with pytest.raises(ConfigError) as refused:
        open_run_folder(other)
    assert "--latent_dim: was 4, now 5" in str(refused.value)
    assert "--dataset: was shapes, now mnist" in str(refused.value)
    assert "steps_per_loop" not in str(refused.value)
    assert "--overwrite" in str(refused.value)


def test_other_numerics_are_said(config):
    (note,) = check_same_run(config, config.replace(steps_per_loop=3, checkpoint_every=9))
    assert "bit for bit" in note
    assert "--steps_per_loop: was 100, now 3" in note
    assert "checkpoint_every" not in note


def test_a_new_length_names_the_schedule_that_depends_on_it(config):
    config = config.replace(epochs=2, learning_rate_schedule="cosine")
    notes = check_same_run(config, config.replace(epochs=4))
    assert any("--epochs: was 2, now 4" in note for note in notes)
    assert any("cosine" in note for note in notes)


def test_overwrite_deletes_a_run(folder, config):
    open_run_folder(config.replace(overwrite=True, latent_dim=9))
    assert not os.path.exists(folder.flagfile)


def test_a_folder_that_is_no_run_is_left_alone(tmp_path, config):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("important")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="not a run folder"):
            open_run_folder(config.replace(overwrite=overwrite))
    assert (tmp_path / "run" / "thesis.tex").read_text() == "important"


def test_metrics_mark_the_step_that_finished(folder):
    assert not folder.is_finished(3)
    folder.update_metrics({"test": 1})
    assert not folder.is_finished(3)
    folder.write_metrics({"step": 3, "test": 1})
    folder.update_metrics({"test": 2})
    assert folder.is_finished(3)
    assert not folder.is_finished(4)
    with open(f"{folder.path}/metrics.json") as file:
        assert json.load(file)["test"] == 2


def test_numbers_that_json_has_not_are_refused(folder):
    with pytest.raises(ValueError, match="Out of range float"):
        folder.write_metrics({"elbo": float("nan")})
    assert RunFolder(folder.path).is_finished(0) is False
