import concurrent.futures
import os
import pathlib
import time

import pytest
import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.serving.publish import publish


def write_own_name(folder):
    """Writes a file in place of an export; its content is the name of the folder."""
    with open(os.path.join(folder, "saved_model.pb"), "w") as file:
        file.write(folder)


def test_publishing_at_the_same_time_gives_each_its_own_complete_version(tmp_path):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        published = list(pool.map(lambda _: publish(write_own_name, str(tmp_path), "a"), range(64)))
    assert sorted(int(os.path.basename(path)) for path in published) == list(range(1, 65))
    contents = {(pathlib.Path(path) / "saved_model.pb").read_text() for path in published}
    assert len(contents) == 64
    assert os.listdir(tmp_path) == ["a"]


def test_a_version_that_another_process_took_is_skipped(tmp_path, monkeypatch):
    first = publish(write_own_name, str(tmp_path), "a")
    counts = iter(["1", "2"])
    monkeypatch.setattr("vae_lowlevel.serving.publish.next_version", lambda _: next(counts))
    assert publish(write_own_name, str(tmp_path), "a") == str(tmp_path / "a" / "2")
    assert os.listdir(first) == ["saved_model.pb"]


def test_nothing_is_visible_before_the_version_is_complete(tmp_path):
    seen = []

    def write(folder):
        write_own_name(folder)
        seen.extend(os.listdir(tmp_path))

    publish(write, str(tmp_path), "a")
    assert [name.split("-")[0] for name in seen] == [".publishing"]


@pytest.mark.parametrize("error", [ValueError("cannot trace"), KeyboardInterrupt()])
def test_a_failed_save_leaves_no_folder(tmp_path, error):
    def write(folder):
        write_own_name(folder)
        raise error

    with pytest.raises(type(error)):
        publish(write, str(tmp_path), "a")
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_a_run_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match=r"cannot write an export to .*file/a: "):
        publish(write_own_name, str(tmp_path / "file"), "a")


def test_the_disk_filling_up_is_a_run_error(tmp_path):
    def write(folder):
        write_own_name(folder)
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    with pytest.raises(RunError, match="No space left"):
        publish(write, str(tmp_path), "a")
    assert os.listdir(tmp_path) == []


def test_only_the_newest_versions_are_kept(tmp_path):
    for _ in range(11):
        publish(write_own_name, str(tmp_path), "a")
    (tmp_path / "a" / "models.config").touch()
    assert publish(write_own_name, str(tmp_path), "a", keep_versions=3).endswith("12")
    assert sorted(os.listdir(tmp_path / "a")) == ["10", "11", "12", "models.config"]
    assert publish(write_own_name, str(tmp_path), "a", keep_versions=1).endswith("13")
    assert sorted(os.listdir(tmp_path / "a")) == ["13", "models.config"]
    assert os.listdir(tmp_path) == ["a"]


def test_what_a_killed_export_left_is_removed_after_a_day(tmp_path):
    old, young = tmp_path / ".publishing-1", tmp_path / ".publishing-2"
    for folder in (old, young):
        folder.mkdir()
        (folder / "saved_model.pb").touch()
    day_ago = time.time() - 25 * 3600
    os.utime(old, (day_ago, day_ago))
    publish(write_own_name, str(tmp_path), "a")
    assert sorted(os.listdir(tmp_path)) == [".publishing-2", "a"]
