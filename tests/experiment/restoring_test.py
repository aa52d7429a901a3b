"""Runs whose files were damaged, in this process: what they resume from, and what they refuse."""

import functools
import json
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from experiment import tiny_run

from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment import training
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best

run = functools.partial(tiny_run.run, learning_rate=0.01)


def variables(prefix):
    reader = tf.train.load_checkpoint(str(prefix))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if "VARIABLE_VALUE" in name}


def assert_same(folder, other, *checkpoints):
    for checkpoint in checkpoints:
        a, b = variables(folder / checkpoint), variables(other / checkpoint)
        assert a.keys() == b.keys()
        for name in a:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of three epochs; to be copied by those who change it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, epochs=3, max_to_keep=2)
    return folder


@pytest.fixture
def damaged(finished, tmp_path):
    """A copy whose newest checkpoint is that of step 9 and whose metrics are gone."""
    folder = pathlib.Path(shutil.copytree(finished, tmp_path / "damaged"))
    (folder / "metrics.json").unlink()
    return folder


def test_a_run_resumes_from_the_checkpoint_before_a_damaged_one(finished, damaged, capsys):
    flip(damaged / "ckpt/ckpt-9.data-00000-of-00001")
    (damaged / "ckpt/checkpoint").write_bytes(b"\0" * 40)
    (damaged / "ckpt/ckpt-12_temp").mkdir()
    run(damaged, epochs=3, max_to_keep=2)
    said = capsys.readouterr().out
    assert "ckpt-9 is damaged and was set aside" in said
    assert "Resuming at step 6" in said
    assert_same(damaged, finished, "ckpt/ckpt-9", "best/ckpt-9")
    assert (damaged / "ckpt/ckpt-9.data-00000-of-00001.damaged").is_file()
    assert not (damaged / "ckpt/ckpt-12_temp").exists()
    assert not list(damaged.rglob("*.lock"))


def test_a_run_never_begins_again_over_its_checkpoints(damaged):
    for path in damaged.glob("ckpt/*.index"):
        flip(path)
    before = contents(damaged)
    with pytest.raises(
        RunError, match=r"every checkpoint is damaged(?s:.*)ckpt-9(?s:.*)--overwrite"
    ):
        run(damaged, epochs=3)
    assert contents(damaged) == before


@pytest.mark.parametrize(
    "damage", [flip, lambda path: path.write_bytes(b"")], ids=["flip", "empty"]
)
def test_damaged_best_weights_are_made_again_from_their_checkpoint(
    finished, damaged, capsys, damage
):
    damage(damaged / "best/ckpt-9.data-00000-of-00001")
    with pytest.raises(RunError, match=r"best weights are damaged(?s:.*)vae_lowlevel\.train"):
        load_best(RunFolder(str(damaged)))
    run(damaged, epochs=3)
    assert "made again from step 9" in capsys.readouterr().out
    assert_same(damaged, finished, "best/ckpt-9", "ckpt/ckpt-9")
    load_best(RunFolder(str(damaged)))


@pytest.fixture
def best_is_first(tmp_path, monkeypatch):
    """A run whose first epoch is the best; its full state is no longer kept."""
    build = training.build_validation

    def build_validation(*arguments):
        validation = build(*arguments)
        return validation._replace(score=lambda step, means: -float(step))

    monkeypatch.setattr(training, "build_validation", build_validation)
    run(tmp_path / "run", epochs=3, max_to_keep=2)
    return tmp_path / "run"


@pytest.mark.long
def test_best_weights_that_cannot_be_made_again_are_an_error_with_a_way_out(best_is_first, capsys):
    folder = best_is_first
    assert json.loads((folder / "metrics.json").read_text())["best_epoch"] == 1
    flip(folder / "best/ckpt-3.index")
    before = contents(folder)
    with pytest.raises(RunError, match=r"best weights are damaged.*step, 3,(?s:.*)delete"):
        run(folder, epochs=3)
    assert contents(folder) == before
    shutil.rmtree(folder / "best")
    run(folder, epochs=3)
    assert "made again from step 9" in capsys.readouterr().out
    for name, value in variables(folder / "best/ckpt-9").items():
        if name.startswith("model/"):
            full = variables(folder / "ckpt/ckpt-9")[f"state/{name}"]
            np.testing.assert_array_equal(value, full, err_msg=name)


def test_a_finished_run_with_damaged_metrics_is_measured_again(finished, tmp_path, capsys):
    folder = pathlib.Path(shutil.copytree(finished, tmp_path / "copy"))
    wanted = json.loads((folder / "metrics.json").read_text())
    (folder / "metrics.json").write_text('{"step": 9')
    run(folder, epochs=3)
    assert "measured again" in capsys.readouterr().out
    assert json.loads((folder / "metrics.json").read_text())["test"] == wanted["test"]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"learning_rate": 1e6, "epochs": 1}, "of the steps had gradients that are not finite"),
        pytest.param(
            {"learning_rate": 30.0, "epochs": 2}, "the mean loss is", marks=pytest.mark.long
        ),
    ],
    ids=["skipped", "large loss"],
)
def test_a_run_that_diverged_is_an_error_and_exports_nothing(tmp_path, values, found):
    exports = tmp_path / "exports"
    for _ in range(2):  # The same command again finds the same.
        with pytest.raises(RunError, match=rf"training diverged: .*{found}.*--learning_rate"):
            run(tmp_path / "run", **values, export_dir=str(exports))
    assert not exports.exists()
    assert not (tmp_path / "run/metrics.json").exists()
