import concurrent.futures
import os
import pathlib

import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.serving.publish import publish


class NoModel:
    signatures = {}  # noqa: RUF012 - nothing to sign


def write_own_name(_, folder, signatures):
    """Stands in for tf.saved_model.save; the content is the name of the folder it was given."""
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "saved_model.pb"), "w") as file:
        file.write(folder)


def test_publishing_at_once_gives_each_its_own_whole_version(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", write_own_name)
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        published = list(pool.map(lambda _: publish(NoModel(), str(tmp_path), "a"), range(64)))
    assert sorted(int(os.path.basename(path)) for path in published) == list(range(1, 65))
    contents = {(pathlib.Path(path) / "saved_model.pb").read_text() for path in published}
    assert len(contents) == 64
    assert os.listdir(tmp_path) == ["a"]


def test_a_version_taken_meanwhile_is_passed_over(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", write_own_name)
    first = publish(NoModel(), str(tmp_path), "a")
    counts = iter(["1", "2"])
    monkeypatch.setattr("vae_lowlevel.serving.publish.next_version", lambda _: next(counts))
    assert publish(NoModel(), str(tmp_path), "a") == str(tmp_path / "a" / "2")
    assert os.listdir(first) == ["saved_model.pb"]


def test_nothing_visible_before_the_version_is_whole(tmp_path, monkeypatch):
    seen = []

    def save(model, folder, signatures):
        write_own_name(model, folder, signatures)
        seen.extend(os.listdir(tmp_path))

    monkeypatch.setattr(tf.saved_model, "save", save)
    publish(NoModel(), str(tmp_path), "a")
    assert [name.split("-")[0] for name in seen] == [".publishing"]


@pytest.mark.parametrize("error", [ValueError("cannot trace"), KeyboardInterrupt()])
def test_a_failed_save_leaves_no_folder(tmp_path, monkeypatch, error):
    def save(model, folder, signatures):
        write_own_name(model, folder, signatures)
        raise error

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(type(error)):
        publish(NoModel(), str(tmp_path), "a")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_run_error(tmp_path, monkeypatch):
    monkeypatch.setattr(tf.saved_model, "save", write_own_name)
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write an export to .*file/a: "):
        publish(NoModel(), str(tmp_path / "file"), "a")


def test_the_disk_filling_up_is_a_run_error(tmp_path, monkeypatch):
    def save(model, folder, signatures):
        write_own_name(model, folder, signatures)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(RunError, match="No space left"):
        publish(NoModel(), str(tmp_path), "a")
    assert os.listdir(tmp_path) == []
