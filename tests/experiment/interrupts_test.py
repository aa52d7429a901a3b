import os
import signal
import subprocess
import sys
import threading

import pytest

from vae_lowlevel.experiment import interrupts

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def send(number):
    os.kill(os.getpid(), number)


@pytest.fixture(autouse=True)
def handlers_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    yield
    assert [signal.getsignal(number) for number in SIGNALS] == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_raised_or_noted(number):
    with pytest.raises(KeyboardInterrupt, match=number.name), interrupts.raised_signals():
        send(number)
    assert interrupts.received() == number.name
    with interrupts.noted_signals() as is_asked_to_stop:
        assert not is_asked_to_stop()
        send(number)
        assert is_asked_to_stop()
    assert interrupts.received() == number.name


def test_a_second_ctrl_c_ends_at_once():
    with pytest.raises(KeyboardInterrupt), interrupts.noted_signals() as is_asked_to_stop:  # noqa: PT012
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        assert is_asked_to_stop()
        send(signal.SIGINT)
    assert interrupts.received() == "SIGTERM"


def test_cleaning_up_is_not_disturbed_by_a_second_sigterm():
    with interrupts.raised_signals():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        send(signal.SIGTERM)
        send(signal.SIGHUP)


def test_a_signal_that_was_lost_stops_the_loop():
    # Python drops exceptions in finalizers and in some callbacks.
    with interrupts.raised_signals():
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
        with interrupts.noted_signals() as is_asked_to_stop:
            assert is_asked_to_stop()


def test_an_exception_that_nobody_can_catch_is_not_printed(capsys):
    class Finalized:
        def __del__(self):
            send(signal.SIGTERM)

    hooks = sys.excepthook, sys.unraisablehook
    with interrupts.raised_signals():
        Finalized()
        assert interrupts.received() == "SIGTERM"
    assert (sys.excepthook, sys.unraisablehook) == hooks
    assert capsys.readouterr().err == ""


def test_an_ignored_signal_stays_ignored(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with interrupts.raised_signals():
            send(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert interrupts.received() is None


def test_another_thread_than_the_main_one_keeps_the_handlers():
    before, failures = signal.getsignal(signal.SIGINT), []

    def train():
        try:
            with interrupts.noted_signals() as is_asked_to_stop:
                assert not is_asked_to_stop()
                assert signal.getsignal(signal.SIGINT) is before
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert failures == []


def test_a_thread_that_waits_outside_python_ends_at_a_signal():
    # Python runs handlers in the main thread, but that stays within a call into C.
    program = (
        "import threading\n"
        "from vae_lowlevel.experiment import interrupts\n"
        "with interrupts.raised_signals(), interrupts.exit_at_signal('all is saved'):\n"
        "    print('waits', flush=True)\n"
        "    import ctypes\n"
        "    ctypes.CDLL(None).sleep.restype = None\n"
        "    while True: ctypes.CDLL(None).usleep(10_000_000)\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes, text=True) as waiting:
        assert waiting.stdout.readline() == "waits\n"
        waiting.send_signal(signal.SIGTERM)
        _, said = waiting.communicate(timeout=20)
    assert waiting.returncode == 75
    assert said == "SIGTERM: all is saved\n"


def test_without_a_signal_nothing_ends():
    with interrupts.exit_at_signal("never said"):
        pass
    assert signal.set_wakeup_fd(-1) == -1
