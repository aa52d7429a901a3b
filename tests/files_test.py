import errno
import os
import stat

import pytest

from vae_lowlevel import files
from vae_lowlevel.errors import ConfigError


@pytest.fixture(params=["disk", "memory"])
def folder(request, tmp_path):
    return str(tmp_path) if request.param == "disk" else f"ram://{tmp_path.name}"


def test_files_are_written_listed_and_deleted(folder):
    below = os.path.join(folder, "a", "b")
    path = os.path.join(below, "c.txt")
    assert not files.is_folder(below)
    assert not files.is_file(path)
    files.make_folder(below)
    files.make_folder(below)
    files.write(path, b"first and longer")
    files.write(path, b"second")
    assert files.read(path) == b"second"
    assert files.list_folder(below) == ["c.txt"]
    assert files.is_file(path)
    assert not files.is_folder(path)
    assert files.is_folder(below)
    assert not files.is_file(below)
    files.delete(os.path.join(folder, "a"))
    assert not files.is_file(path)


def test_a_file_that_is_not_there_is_an_os_error(folder):
    with pytest.raises(OSError, match="nothing"):
        files.read(os.path.join(folder, "nothing"))


def test_addresses_need_a_file_system():
    files.check_reachable("/no/such/folder", "model_dir")
    files.check_reachable("ram://anything", "model_dir")
    with pytest.raises(ConfigError, match="--model_dir=none://x: TensorFlow cannot reach it"):
        files.check_reachable("none://x", "model_dir")


def test_a_file_is_durable_before_it_replaces_another(monkeypatch, tmp_path):
    path, calls = str(tmp_path / "a.txt"), []
    fsync, replace = os.fsync, os.replace

    def note_sync(descriptor):
        calls.append(f"sync {os.path.basename(os.readlink(f'/proc/self/fd/{descriptor}'))}")
        fsync(descriptor)

    def note_replace(source, target):
        calls.append(f"replace {os.path.basename(target)}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", note_sync)
    monkeypatch.setattr(os, "replace", note_replace)
    files.write(path, b"content")
    assert calls == ["sync a.txt.partial", "replace a.txt", f"sync {tmp_path.name}"]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "c.txt").write_bytes(b"c")
    calls.clear()
    files.sync_tree(str(tmp_path))
    assert calls == ["sync c.txt", "sync b", "sync a.txt", f"sync {tmp_path.name}"]


def test_a_new_folder_is_durable_with_its_parents(monkeypatch, tmp_path):
    synced, sync = [], files.sync

    def note_sync(path):
        synced.append(os.path.relpath(path, tmp_path))
        sync(path)

    monkeypatch.setattr(files, "sync", note_sync)
    files.make_folder(str(tmp_path / "a" / "b"))
    assert synced == ["a", "."]
    files.make_folder(str(tmp_path / "a" / "b"))
    assert synced == ["a", "."]


def test_a_failed_write_leaves_the_old_file_and_names_it(monkeypatch, tmp_path):
    path = str(tmp_path / "a.txt")
    files.write(path, b"old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*a\.txt'"):
        files.write(path, b"new")
    assert os.listdir(tmp_path) == ["a.txt"]
    assert files.read(path) == b"old"


def test_a_file_system_that_cannot_sync_folders_is_accepted(monkeypatch, tmp_path):
    fsync = os.fsync

    def refuse_folders(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse_folders)
    files.write(str(tmp_path / "a.txt"), b"content")
    assert (tmp_path / "a.txt").read_bytes() == b"content"
