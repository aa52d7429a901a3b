import concurrent.futures
import fcntl
import os
import subprocess
import sys
import time

import pytest

from vae_lowlevel.serving import staging
from vae_lowlevel.serving.staging import remove_abandoned, remove_folder, staging_folder

DAY_AGO = time.time() - 25 * 3600


def leave(folder, name=".publishing-1"):
    """Makes what a killed process left."""
    left = folder / name
    left.mkdir()
    (left / "saved_model.pb").touch()
    return left


def test_a_folder_is_gone_at_the_end_whatever_happens(tmp_path):
    def fail(error):
        with staging_folder(str(tmp_path)) as folder:
            assert os.path.basename(folder).startswith(".publishing-")
            (tmp_path / folder / "file").touch()
            raise error

    for error in (ValueError(), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail(error)
        assert os.listdir(tmp_path) == []


def test_what_was_renamed_stays(tmp_path):
    with staging_folder(str(tmp_path)) as folder:
        os.rename(folder, tmp_path / "1")
    assert os.listdir(tmp_path) == ["1"]


def test_only_what_ended_processes_left_is_removed(tmp_path):
    leave(tmp_path)
    leave(tmp_path, "other")
    with staging_folder(str(tmp_path)) as mine:
        # However old.
        os.utime(mine, (DAY_AGO, DAY_AGO))
        remove_abandoned(str(tmp_path))
        assert sorted(os.listdir(tmp_path)) == [os.path.basename(mine), "other"]


HOLD = """
import sys, time
sys.path.insert(0, sys.argv[1])
import staging
with staging.staging_folder(sys.argv[2]) as folder:
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_of_another_process_is_kept_until_it_is_killed(tmp_path):
    # Without TensorFlow, which the module does not need.
    program = [sys.executable, "-c", HOLD, os.path.dirname(staging.__file__), str(tmp_path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        folder = process.stdout.readline().strip()
        remove_abandoned(str(tmp_path))
        assert os.path.isdir(folder)
        process.kill()
        process.wait()
    remove_abandoned(str(tmp_path))
    assert os.listdir(tmp_path) == []


def test_without_locks_what_is_older_than_a_day_is_removed(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError

    monkeypatch.setattr(fcntl, "flock", refuse)
    old, young = leave(tmp_path), leave(tmp_path, ".publishing-2")
    os.utime(old, (DAY_AGO, DAY_AGO))
    with staging_folder(str(tmp_path)):
        remove_abandoned(str(tmp_path))
        assert not old.exists()
        assert young.exists()


def test_makers_and_cleaners_do_not_disturb_each_other(tmp_path):
    def make(_):
        remove_abandoned(str(tmp_path))
        with staging_folder(str(tmp_path)) as folder:
            remove_abandoned(str(tmp_path))
            assert os.path.isdir(folder)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(make, range(200)))) == 200
    assert os.listdir(tmp_path) == []


def test_a_folder_is_removed_as_a_whole(tmp_path):
    leave(tmp_path, "1")
    remove_folder(str(tmp_path / "1"), str(tmp_path))
    assert os.listdir(tmp_path) == []
    with pytest.raises(FileNotFoundError):
        remove_folder(str(tmp_path / "1"), str(tmp_path))
    assert os.listdir(tmp_path) == []
