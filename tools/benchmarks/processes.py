"""Contenders as processes, which start once and then train in turns."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

FOLDER = pathlib.Path(__file__).parent / "contenders"
ROOT = FOLDER.parents[2]
LAST_LINES = 15


class ContenderProcess:
    """One contender, which trains only when it is its turn; see `contenders/turns.py`.

    Args:
        script: file in contenders/.
        python: the interpreter that runs it.
        case: what it trains.
        is_first: whether it gets the CPU before other processes while it starts or trains.

    Attributes:
        ready: its first answer: setting, parameters, trials.

    Raises:
        RuntimeError: the process ended; quotes the end of its standard error.
    """

    def __init__(self, script: str, python: str, case: dict[str, Any], is_first: bool) -> None:
        self._name = script
        self._is_first = is_first
        self._folder = tempfile.TemporaryDirectory()
        case_path = os.path.join(self._folder.name, "case.json")
        with open(case_path, "w", encoding="utf-8") as file:
            json.dump(case, file)
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = {
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
        }
        self._errors = open(os.path.join(self._folder.name, "stderr"), "w+", errors="replace")  # noqa: SIM115
        self._process = subprocess.Popen(
            [python, str(FOLDER / script), case_path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env=environment,
        )
        try:
            with self._priority():
                self.ready = self._read()
        except BaseException:
            self.close()
            raise

    def train(self, seconds: float) -> dict[str, float]:
        """Gives it a turn; returns `images_per_second`, `seconds` and `loss`."""
        with self._priority():
            print(seconds, file=self._process.stdin, flush=True)
            return self._read()

    def _priority(self) -> contextlib.AbstractContextManager:
        return first_in_line(self._process.pid) if self._is_first else contextlib.nullcontext()

    def close(self) -> None:
        """Ends the process."""
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.terminate()
        self._process.wait()
        self._errors.close()
        self._folder.cleanup()

    def _read(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        errors = "".join(self._errors.readlines()[-LAST_LINES:])
        raise RuntimeError(f"{self._name} ended with {self._process.returncode}:\n{errors}")


@contextlib.contextmanager
def first_in_line(pid: int) -> Iterator[None]:
    """Gives all threads of a process the CPU before other processes, by niceness (needs the right).

    Real-time priority would not do: a thread that waits by spinning may keep a core from the thread
    it waits for.
    """
    _set_niceness(pid, -20)
    try:
        yield
    finally:
        _set_niceness(pid, 0)


def _set_niceness(pid: int, niceness: int) -> None:
    threads = f"/proc/{pid}/task"
    # The process may have ended.
    for thread in os.listdir(threads) if os.path.isdir(threads) else ():
        # A thread may end meanwhile. New threads inherit the niceness of the one that starts them.
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, int(thread), niceness)


def has_module(python: str, module: str) -> bool:
    """Returns whether a module is installed for an interpreter, without importing the module."""
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", find], capture_output=True, check=False).returncode == 0
