"""Signals that ask a program to stop: Ctrl-C (SIGINT), SIGTERM and SIGHUP.

A program is stopped by an exception, KeyboardInterrupt, wherever it is. Only the training loop
notes the signal instead, and stops by itself at the end of a step. Signals belong to the whole
process, so what was received is a fact of this module.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import types
from collections.abc import Callable, Iterator

from vae_lowlevel.errors import EXIT_INTERRUPTED

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")

_received: str | None = None
_depth = 0


def received() -> str | None:
    """Returns the name of the signal that asked to stop, None if there was none."""
    return _received


@contextlib.contextmanager
def raised_signals() -> Iterator[None]:
    """Raises KeyboardInterrupt at a signal; after the first, only another Ctrl-C raises it."""

    def stop(number: int, frame: types.FrameType | None) -> None:
        del frame
        is_repeated = _received is not None
        _note(number)
        if not is_repeated or number == signal.SIGINT:
            raise KeyboardInterrupt(_received)

    with _handled(stop), _quiet_hooks():
        yield


@contextlib.contextmanager
def noted_signals() -> Iterator[Callable[[], bool]]:
    """Notes a signal instead of raising it; a second Ctrl-C raises KeyboardInterrupt.

    Returns:
        A function that returns whether a signal was received.
    """

    def note(number: int, frame: types.FrameType | None) -> None:
        del frame
        if _received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt(_received)
        _note(number)

    with _handled(note):
        yield lambda: _received is not None


@contextlib.contextmanager
def exit_at_signal(message: str) -> Iterator[None]:
    """Ends the process at a signal while the main thread waits within TensorFlow.

    Python runs handlers in the main thread, when TensorFlow has returned. Here another thread
    reads the signal, prints what it means and exits with the code of an interrupted run.

    Args:
        message: what is true when the process ends here.
    """
    if not _is_main_thread():
        yield
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    previous = signal.set_wakeup_fd(writing)

    def watch() -> None:
        for number in os.read(reading, 1):
            if number in [int(known) for known in _signals()]:
                print(f"{signal.Signals(number).name}: {message}", file=sys.stderr, flush=True)
                os._exit(EXIT_INTERRUPTED)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(previous)
        os.close(writing)
        watcher.join()
        os.close(reading)


@contextlib.contextmanager
def _quiet_hooks() -> Iterator[None]:
    """Hides exceptions that nobody can catch, once a signal was received.

    In a finalizer, or in Python code that TensorFlow calls, Python prints the exception of a signal
    and drops it. The signal is noted all the same.
    """
    hooks = sys.excepthook, sys.unraisablehook

    def unless_stopped(hook: Callable[..., None]) -> Callable[..., None]:
        return lambda *details: None if _received else hook(*details)

    sys.excepthook, sys.unraisablehook = map(unless_stopped, hooks)
    try:
        yield
    finally:
        sys.excepthook, sys.unraisablehook = hooks


@contextlib.contextmanager
def _handled(handler: Callable[[int, types.FrameType | None], None]) -> Iterator[None]:
    """Sets a handler for signals that are not ignored, and restores those before it.

    Python delivers signals to the main thread only. In another thread, as of a notebook server or
    a user interface, nothing changes.
    """
    global _received, _depth
    if not _is_main_thread():
        yield
        return
    if not _depth:
        _received = None
    _depth += 1
    previous = {}
    try:
        for number in _signals():
            # As nohup does it, and shells for programs in the background.
            if signal.getsignal(number) is not signal.SIG_IGN:
                previous[number] = signal.signal(number, handler)
        yield
    finally:
        _depth -= 1
        for number, before in previous.items():
            signal.signal(number, before)


def _note(number: int) -> None:
    global _received
    if _received is None:
        _received = signal.Signals(number).name


def _signals() -> list[signal.Signals]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
