import errno
import fcntl
import os
import re
import signal
import subprocess
import sys

import pytest

from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.lock import locked


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "run.lock")


def test_a_second_training_is_refused_and_told_who_runs(path):
    with locked(path):
        found = (
            rf"another training runs in this folder, process {os.getpid()} on \S+\. .*--model_dir"
        )
        with pytest.raises(RunError, match=found), locked(path):
            pass
        assert os.path.isfile(path)
    assert not os.path.exists(path)
    with locked(path):
        pass


def test_a_killed_process_locks_nothing(path):
    program = (
        "import sys, time\n"
        "from vae_lowlevel.experiment.lock import locked\n"
        "with locked(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, path]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match=rf"process {other.pid}\b"), locked(path):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert os.path.isfile(path)
    with locked(path):
        pass


def test_a_file_deleted_by_the_holder_before_is_made_again(path, monkeypatch):
    flock, calls = fcntl.flock, []

    def delete_first(descriptor, kind):
        flock(descriptor, kind)
        if not calls:
            os.remove(path)
        calls.append(kind)

    monkeypatch.setattr(fcntl, "flock", delete_first)
    with locked(path):
        assert re.match(r"process \d+ on ", open(path).read())  # noqa: SIM115
    assert len(calls) == 2


def test_a_file_system_without_locks_locks_nothing(path, monkeypatch):
    def unsupported(descriptor, kind):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with locked(path), locked(path):
        pass


def test_an_address_has_no_lock():
    with locked("ram://runs/run.lock"), locked("ram://runs/run.lock"):
        pass
