import concurrent.futures
import errno
import os
import pathlib
import subprocess

import pytest
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.errors import RunError
from vae_lowlevel.serving import publish as publish_module
from vae_lowlevel.serving.publish import check_graph, publish


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
    assert sorted(os.listdir(first)) == ["checksums.sha256", "saved_model.pb"]


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


def test_the_folder_of_exports_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    link = str(tmp_path / "link")
    assert publish(write_own_name, link, "a") == f"{link}/a/1"
    assert publish(write_own_name, link, "a", keep_versions=1) == f"{link}/a/2"
    assert os.listdir(tmp_path / "real") == ["a"]
    assert os.listdir(tmp_path / "real" / "a") == ["2"]


DISK_ERRORS = [
    OSError(errno.ENOSPC, "No space left on device"),
    tf.errors.ResourceExhaustedError(None, None, "a/b; No space left on device"),
    tf.errors.PermissionDeniedError(None, None, "a/b; Read-only file system"),
    tf.errors.FailedPreconditionError(None, None, "a/b; Not a directory"),
    tf.errors.NotFoundError(None, None, "a/b; No such file or directory"),
    tf.errors.InternalError(None, None, "could not write a/b"),
    tf.errors.UnknownError(None, None, "a/b; Input/output error"),
]


@pytest.mark.parametrize("error", DISK_ERRORS, ids=lambda error: type(error).__name__)
def test_a_disk_that_fails_is_a_run_error_and_leaves_nothing(tmp_path, error):
    def write(folder):
        write_own_name(folder)
        raise error

    with pytest.raises(RunError, match=r"cannot write an export to .*/a: ") as caught:
        publish(write, str(tmp_path), "a")
    assert str(caught.value).count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_version_is_durable_before_it_has_its_name_and_older_ones_are_removed_after_it(
    tmp_path, monkeypatch
):
    publish(write_own_name, str(tmp_path), "a")
    done = []

    def note(module, name):
        true = getattr(module, name)

        def noted(*paths):
            done.append((name, *(pathlib.Path(path).name for path in paths)))
            return true(*paths)

        monkeypatch.setattr(module, name, noted)

    for module, name in ((files, "sync_tree"), (files, "sync"), (os, "rename")):
        note(module, name)
    note(publish_module, "remove_folder")
    publish(write_own_name, str(tmp_path), "a", keep_versions=1)
    renamed = next(index for index, step in enumerate(done) if step[-1] == "2")
    staging = done[renamed][1]
    synced = done.index(("sync_tree", staging)), done.index(("sync", "saved_model.pb"))
    assert max(synced) < renamed
    removed = done.index(("remove_folder", "1", tmp_path.name))
    assert renamed < done.index(("sync", "a"), renamed) < removed


def test_a_publication_has_one_version(tmp_path):
    base = str(tmp_path)
    first = publish(write_own_name, base, "a", publication="one")
    assert publish(write_own_name, base, "a") == str(tmp_path / "a" / "2")
    assert publish(None, base, "a", publication="one") == first
    assert publish(write_own_name, base, "a", publication="two") == str(tmp_path / "a" / "3")
    assert publish(write_own_name, base, "b", publication="one") == str(tmp_path / "b" / "1")


def test_checksums_are_those_of_sha256sum(tmp_path):
    version = publish(write_own_name, str(tmp_path), "a", publication="one")
    command = ["sha256sum", "--check", "--strict", "checksums.sha256"]
    done = subprocess.run(command, cwd=version, capture_output=True, text=True, check=True)
    assert done.stdout == "publication.txt: OK\nsaved_model.pb: OK\n"


def test_a_changed_graph_is_found_by_its_checksum(tmp_path):
    version = publish(write_own_name, str(tmp_path), "a")
    check_graph(version)
    (tmp_path / "a" / "1" / "saved_model.pb").write_text("another")
    with pytest.raises(RunError, match=r"a/1: .*saved_model\.pb differs from the file"):
        check_graph(version)
    (tmp_path / "a" / "1" / "saved_model.pb").unlink()
    with pytest.raises(RunError, match="No such file"):
        check_graph(version)
    (tmp_path / "a" / "1" / "checksums.sha256").unlink()
    check_graph(version)


def test_only_the_newest_versions_are_kept(tmp_path):
    for _ in range(11):
        publish(write_own_name, str(tmp_path), "a")
    (tmp_path / "a" / "models.config").touch()
    assert publish(write_own_name, str(tmp_path), "a", keep_versions=3).endswith("12")
    assert sorted(os.listdir(tmp_path / "a")) == ["10", "11", "12", "models.config"]
    assert publish(write_own_name, str(tmp_path), "a", keep_versions=1).endswith("13")
    assert sorted(os.listdir(tmp_path / "a")) == ["13", "models.config"]
    assert os.listdir(tmp_path) == ["a"]
