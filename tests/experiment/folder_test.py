import json
import os
import pathlib

import numpy as np
import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import format_flagfile
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.folder import RunFolder, check_same_run, open_run_folder
from vae_lowlevel.types import Dataset, Examples

EMPTY = Examples(np.zeros([0, 8, 6, 1], np.uint8), np.zeros([0], np.int32))
DATASET = Dataset(EMPTY, EMPTY, EMPTY, ("a", "b"))


@pytest.fixture
def config(tmp_path):
    return Config.from_flat({"model_dir": str(tmp_path / "run"), "latent_dim": 4})


@pytest.fixture
def folder(config):
    folder, _ = open_run_folder(config)
    folder.begin(config, DATASET)
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
    assert folder.read_data_description() == ((8, 6, 1), ("a", "b"))


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


def test_overwrite_deletes_a_run_when_the_new_one_begins(folder, config):
    os.makedirs(folder.checkpoints)
    folder.write_metrics({"step": 3})
    other = config.replace(overwrite=True, latent_dim=9)
    opened, notes = open_run_folder(other)
    assert notes == []
    assert os.path.isfile(folder.metrics)
    opened.begin(other, DATASET)
    assert sorted(os.listdir(folder.path)) == ["data.json", "flags.cfg"]
    assert folder.read_config().model.latent_dim == 9
    # The saved flags would not delete the run that is run again.
    assert not folder.read_config().run.overwrite


def test_a_folder_that_is_no_run_is_left_alone(tmp_path, config):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("important")
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="not a run folder"):
            open_run_folder(config.replace(overwrite=overwrite))
    assert (tmp_path / "run" / "thesis.tex").read_text() == "important"


def test_metrics_are_those_of_a_finished_run(folder):
    assert folder.read_metrics() == {}
    folder.update_metrics({"test": 1})
    assert folder.read_metrics() == {}
    folder.write_metrics({"step": 3, "test": 1})
    folder.update_metrics({"test": 2})
    assert folder.read_metrics() == {"step": 3, "test": 2}


def test_numbers_that_are_not_finite_become_null(folder):
    content = {"elbo": float("nan"), "history": [{"train": {"loss": float("inf")}}], "step": 3}
    folder.write_metrics(content)
    assert folder.read_metrics() == {
        "elbo": None,
        "history": [{"train": {"loss": None}}],
        "step": 3,
    }


@pytest.mark.parametrize("content", ["", "{", "[1]", "\0\xff"])
def test_damaged_metrics_are_named(folder, content):
    with open(folder.metrics, "w", encoding="latin-1") as file:
        file.write(content)
    with pytest.raises(RunError, match=r"metrics\.json: expected a run's metrics.*delete the file"):
        folder.read_metrics()


def test_images_kept_by_a_fit_that_failed_do_not_block_the_folder(config):
    os.makedirs(config.model_dir)
    for name in ("data.npz", "data.npz.partial.npz"):
        pathlib.Path(config.model_dir, name).write_bytes(b"")
    assert open_run_folder(config)[1] == []


def test_a_folder_that_is_no_run_has_no_settings(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no flags\.cfg") as caught:
        RunFolder(str(tmp_path / "nowhere")).read_config()
    assert str(tmp_path / "nowhere") in str(caught.value)
    (tmp_path / "flags.cfg").write_text("--flag_of_the_future=1\n")
    with pytest.raises(RunError, match=r"another version.*flag_of_the_future"):
        RunFolder(str(tmp_path)).read_config()


# As the version before wrote them: sizes resolved, the shorthand next to them.
OLD_FLAGS = """--dataset=mnist
--validation_size=5000
--network=resnet
--variant=small
--latent_dim=64
--resnet_filters=32,64
--resnet_blocks=1,1
"""


def test_a_run_that_saved_resolved_sizes_resumes_by_the_command_that_made_it(tmp_path):
    (tmp_path / "flags.cfg").write_text(OLD_FLAGS)
    given = Config.from_flat(
        {"dataset": "mnist", "network": "resnet", "model_dir": str(tmp_path), "epochs": 3}
    )
    (note,) = open_run_folder(given)[1]
    assert "--epochs: was not set, now 3" in note
    with pytest.raises(ConfigError) as refused:
        open_run_folder(given.replace(variant="micro"))
    assert "--latent_dim: was 64, now 32" in str(refused.value)
    assert "--resnet_filters: was (32, 64), now (16, 32)" in str(refused.value)
    assert "--variant" not in str(refused.value).split("\nGive")[0]


def test_a_copy_of_the_run_of_a_remote_tpu_is_read_but_not_trained(tmp_path):
    values = {"distribution_strategy": "tpu", "tpu": "my-tpu", "model_dir": "gs://bucket/run"}
    (tmp_path / "flags.cfg").write_text(format_flagfile(Config.from_flat(values)))
    config = RunFolder(str(tmp_path)).read_config()
    assert (config.model_dir, config.strategy.tpu) == (str(tmp_path), "my-tpu")
    with pytest.raises(ConfigError, match=r"--model_dir=.* gs://bucket"):
        open_run_folder(config)
