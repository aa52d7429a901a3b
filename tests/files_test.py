import os

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
    files.delete_folder(os.path.join(folder, "a"))
    assert not files.is_file(path)


def test_a_file_that_is_not_there_is_an_os_error(folder):
    with pytest.raises(OSError, match="nothing"):
        files.read(os.path.join(folder, "nothing"))


def test_addresses_need_a_file_system():
    files.check_reachable("/no/such/folder", "model_dir")
    files.check_reachable("ram://anything", "model_dir")
    with pytest.raises(ConfigError, match="--model_dir=none://x: TensorFlow cannot reach it"):
        files.check_reachable("none://x", "model_dir")
