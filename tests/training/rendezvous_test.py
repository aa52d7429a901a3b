import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from free_ports import free_ports

from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment import interrupts
from vae_lowlevel.training import rendezvous
from vae_lowlevel.training.rendezvous import exit_after, wait_for_workers


@pytest.fixture
def addresses():
    """Three addresses of this machine that nothing uses."""
    return [f"localhost:{port}" for port in free_ports(3)]


def test_workers_meet_in_any_order(addresses):
    arrived = []

    def worker(index):
        wait_for_workers(addresses, index)
        # As TensorFlow does next: whoever comes later still finds this worker.
        with rendezvous._listen(addresses[index]):
            arrived.append(index)
            everyone.wait(20)

    everyone = threading.Barrier(3)
    threads = [threading.Thread(target=worker, args=(index,)) for index in (2, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(arrived) == [0, 1, 2]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_waiting(addresses, number):
    sending = threading.Timer(0.1, os.kill, (os.getpid(), number))
    sending.start()
    with pytest.raises(KeyboardInterrupt, match=number.name), interrupts.raised_signals():
        wait_for_workers(addresses, 0)
    sending.join()


def test_who_is_missing_is_said(addresses, monkeypatch, capsys):
    monkeypatch.setattr(rendezvous, "_REPORT_SECONDS", 0.2)
    sending = threading.Timer(0.7, os.kill, (os.getpid(), signal.SIGTERM))
    sending.start()
    host, _, port = addresses[1].rpartition(":")
    with (
        socket.create_server((host, int(port))),
        pytest.raises(KeyboardInterrupt),
        interrupts.raised_signals(),
    ):
        wait_for_workers(addresses, 0)
    sending.join()
    assert f"worker 0 still waits for {addresses[2]}\n" in capsys.readouterr().out


def test_a_port_in_use_is_named(addresses):
    refused = pytest.raises(RunError, match=rf"{addresses[0]}.*cannot be opened")
    with rendezvous._listen(addresses[0]), refused:
        wait_for_workers(addresses, 0)


def test_a_call_that_holds_the_lock_of_python_ends_in_time():
    program = (
        "import ctypes\n"
        "from vae_lowlevel.training.rendezvous import exit_after\n"
        "with exit_after(0.3, 'one is lost'): ctypes.PyDLL(None).usleep(30_000_000)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=20)
    assert (ended.returncode, ended.stderr) == (1, b"one is lost\n")
    with exit_after(0.1, "never said"):
        pass
    threading.Event().wait(0.2)
