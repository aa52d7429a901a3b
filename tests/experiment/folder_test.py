import json
import os
import pathlib

import pytest

from vae_lowlevel import files
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.opening import open_run_folder

METRICS = {"step": 3, "best_epoch": 1, "history": [{"epoch": 1}], "test": {"elbo": -1.0}}


def test_the_data_are_described(folder, config):
    with open(f"{folder.path}/data.json") as file:
        assert json.load(file) == {
            "image_shape": [8, 6, 1],
            "class_names": ["a", "b"],
            "factor_names": [],
        }
    assert folder.read_data_description() == ((8, 6, 1), ("a", "b"))


def test_overwrite_deletes_a_run_when_the_new_one_begins(folder, config, dataset):
    os.makedirs(folder.checkpoints)
    folder.write_metrics(METRICS)
    other = config.replace(overwrite=True, latent_dim=9)
    opened, notes = open_run_folder(other)
    assert notes == []
    assert os.path.isfile(folder.metrics)
    opened.begin(other, dataset)
    assert sorted(os.listdir(folder.path)) == ["data.json", "flags.cfg"]
    assert folder.read_config().model.latent_dim == 9
    # The saved flags would not delete the run that is run again.
    assert not folder.read_config().run.overwrite


def test_metrics_are_those_of_a_finished_run(folder):
    assert folder.read_metrics() == {}
    folder.update_metrics({"test": {"elbo": 1.0}})
    assert folder.read_metrics() == {}
    folder.write_metrics(METRICS)
    folder.update_metrics({"test": {"elbo": 2.0}})
    assert folder.read_metrics() == {**METRICS, "test": {"elbo": 2.0}}


def test_numbers_that_are_not_finite_become_null(folder):
    history = [{"epoch": 1, "train": {"loss": float("inf")}}]
    folder.write_metrics({**METRICS, "test": {"elbo": float("nan")}, "history": history})
    assert folder.read_metrics() == {
        **METRICS,
        "test": {"elbo": None},
        "history": [{"epoch": 1, "train": {"loss": None}}],
    }


@pytest.mark.parametrize(
    "content",
    ["", "{", "[1]", "\0\xff", '{"step": 3}']
    + [
        json.dumps({**METRICS, **damage})
        for damage in ({"history": []}, {"step": "3"}, {"test": 1})
    ],
)
def test_damaged_metrics_are_named(folder, content):
    with open(folder.metrics, "w", encoding="latin-1") as file:
        file.write(content)
    with pytest.raises(RunError, match=r"metrics\.json: expected a run's metrics.*Delete the file"):
        folder.read_metrics()


def test_a_folder_that_is_no_run_has_no_settings(tmp_path):
    with pytest.raises(RunError, match=r"is not a run folder: it has no flags\.cfg") as caught:
        RunFolder(str(tmp_path / "nowhere")).read_config()
    assert str(tmp_path / "nowhere") in str(caught.value)
    (tmp_path / "flags.cfg").write_text("--flag_of_the_future=1\n")
    with pytest.raises(RunError, match=r"this version.*flag_of_the_future"):
        RunFolder(str(tmp_path)).read_config()


def test_damaged_metrics_are_not_quoted_whole(folder):
    pathlib.Path(folder.metrics).write_bytes(bytes(20_000))
    with pytest.raises(RunError, match=r"metrics\.json: expected") as caught:
        folder.read_metrics()
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "damage",
    [
        {"image_shape": [8, 6]},
        {"image_shape": [8, 6, "1"]},
        {"image_shape": [8, -6, 1]},
        {"image_shape": [8, 6, 1.0]},
        {"image_shape": [1 << 30, 1 << 30, 3]},
        {"image_shape": 5},
        {"class_names": [1, 2]},
        {"class_names": None},
    ],
    ids=str,
)
def test_a_damaged_description_of_the_data_is_named(folder, damage):
    description = {"image_shape": [8, 6, 1], "class_names": [], **damage}
    pathlib.Path(folder.data_description).write_text(json.dumps(description))
    with pytest.raises(RunError, match=r"data\.json: expected a run's image_shape.*vae_lowlevel"):
        folder.read_data_description()


def test_the_settings_are_written_first_and_deleted_last(folder, config, monkeypatch, dataset):
    os.makedirs(folder.checkpoints)
    done = []
    for name in ("write", "delete"):
        original = getattr(files, name)

        def noted(path, *content, name=name, original=original):
            done.append(f"{name} {os.path.basename(path)}")
            original(path, *content)

        monkeypatch.setattr(files, name, noted)
    folder.begin(config.replace(overwrite=True), dataset)
    assert sorted(done[:2]) == ["delete ckpt", "delete data.json"]
    assert done[2:] == ["write flags.cfg", "write data.json"]


def test_a_link_to_a_run_stays_when_the_run_is_overwritten(folder, config, tmp_path, dataset):
    os.rename(folder.path, tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder.path)
    (tmp_path / "elsewhere" / "ckpt").mkdir()
    folder.begin(config.replace(overwrite=True), dataset)
    assert os.path.islink(folder.path)
    assert sorted(os.listdir(tmp_path / "elsewhere")) == ["data.json", "flags.cfg"]


def test_training_holds_the_folder_and_leaves_nothing_where_it_did_not_begin(config, dataset):
    folder = RunFolder(config.model_dir)
    with folder.held():
        with pytest.raises(RunError, match="another training runs"), RunFolder(folder.path).held():
            pass
        assert os.listdir(folder.path) == ["run.lock"]
    assert not os.path.exists(folder.path)
    with folder.held():
        folder.begin(config, dataset)
    assert sorted(os.listdir(folder.path)) == ["data.json", "flags.cfg"]


def test_a_training_that_fails_before_it_begins_leaves_no_folder(config):
    folder = RunFolder(config.model_dir)
    with pytest.raises(ValueError, match="too small"), folder.held():
        raise ValueError("too small")
    assert not os.path.exists(folder.path)
