"""Ctrl-C and SIGTERM: finish the step, save, say how to resume."""

from __future__ import annotations

import signal
import threading
import types
from typing import Any


class StopRequest:
    """Notes SIGINT and SIGTERM while it is entered; a second SIGINT ends the program at once.

    Python delivers signals to the main thread only. In another thread, as of a notebook server or
    a user interface, nothing is noted and the program's own handlers stay.

    Attributes:
        signal_name: the signal that asked to stop, or None.
    """

    def __init__(self) -> None:
        self.signal_name: str | None = None
        self._previous: dict[int, Any] = {}

    def __bool__(self) -> bool:
        return self.signal_name is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: types.FrameType | None) -> None:
        del frame
        self.signal_name = signal.Signals(number).name
        signal.signal(signal.SIGINT, signal.default_int_handler)
