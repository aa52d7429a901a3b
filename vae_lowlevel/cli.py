"""Starts a program of the package: help and bad flags before TensorFlow, then a quiet TensorFlow.

TensorFlow 2.21 writes information lines to file descriptor 2 that no environment variable stops.
While a program runs, descriptor 2 is connected to a small filter process, which drops these lines
and passes on all others. It is a separate process so that the last lines of a crash are shown.
Python's own `sys.stderr` (tracebacks, the progress bar) is connected to the terminal directly.

When the reader of stdout or stderr is gone (`| head`, a lost terminal), the program continues
without output: what it was started for is in files.
"""

from __future__ import annotations

import errno
import importlib.util
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from vae_lowlevel.config.fields import Options
from vae_lowlevel.config.flags import parse
from vae_lowlevel.config.help import help_text
from vae_lowlevel.errors import (
    EXIT_DONE,
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_KILLED,
    EXIT_USAGE,
    ConfigError,
    DataError,
    Interrupted,
    RunError,
)
from vae_lowlevel.experiment import interrupts

# The packages of setup.cfg: the module that is imported, the package's name, its oldest version.
_PACKAGES = (
    "absl: absl-py>=2.1",
    "matplotlib: matplotlib>=3.8",
    "numpy: numpy>=1.26",
    "PIL: pillow>=9.1",
    "tensorboard: tensorboard>=2.18",
    "tensorflow: tensorflow>=2.18",
    "tensorflow_probability: tensorflow-probability>=0.25",
    "tf_keras: tf_keras>=2.18",
    "tqdm: tqdm>=4.66",
)
# Words that ask for help, and what they ask for; see `help_text`.
_HELP = {"-h": "", "-help": "", "--help": "", "--helpshort": "", "--helpfull": "all"}

# A log line of TensorFlow's C++ begins with severity, month and day (I0807, W0807, E0807), in older
# versions with a time stamp and the severity (2026-08-07 10:11:12.345678: E). Without an NVIDIA
# device, CUDA's failure to start is logged as an error, E, and dropped; with one, it is shown.
_FILTER = r"""
import glob, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
harmless = rb"Unable to register cu\w+ factory|computation placer already registered"
if not glob.glob("/dev/nvidia*"):
    harmless += rb"|failed call to cuInit"
stamp = rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+: "
noise = re.compile(
    rb"I\d{4} \d\d:\d\d|" + stamp + rb"I |"
    rb"WARNING: All log messages before absl::InitializeLog|"
    rb"To enable the following instructions:|"
    rb"([EW]\d{4} |" + stamp + rb"[EW] ).*(" + harmless + rb")"
)
names_a_task = re.compile(rb"/job:\w+/replica:\d+/task:\d+$")
is_dropped = False
for line in iter(sys.stdin.buffer.readline, b""):
    # A dropped line may list the tasks of a cluster on the next lines.
    is_dropped = bool(noise.match(line) or (is_dropped and names_a_task.match(line.strip())))
    if not is_dropped:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()
"""


def main(
    usage: str, options: type[Options], run: Callable[[Any], None], argv: list[str] | None = None
) -> int:
    """Parses flags, runs `run(options)` and returns the exit code.

    Args:
        usage: the first lines of the help text.
        options: what the flags are read into.
        run: the program; it imports TensorFlow itself, after the flags have been checked.
        argv: arguments without the program's name; default: those of this process.

    Returns:
        0 done, 1 data or run-time error, 2 usage error, 75 interrupted with the state saved, 130
        interrupted with nothing to resume from.
    """
    argv = sys.argv[1:] if argv is None else argv
    open_outputs()
    try:
        topics = [_HELP[word] for word in argv if word in _HELP]
        topics += [word.partition("=")[2] for word in argv if word.startswith("--help=")]
        if topics:
            print(help_text(usage, options, topics[-1]))
            return EXIT_DONE
        with interrupts.raised_signals():
            check_packages()
            parsed = parse(argv, options)
            if not (parsed.tensorflow_log or "TF_CPP_MIN_LOG_LEVEL" in os.environ):
                quiet_tensorflow()
            run(parsed)
            sys.stdout.flush()
    except (Exception, KeyboardInterrupt) as error:
        exit_code, message = _explain(error)
        if exit_code is None:
            raise
        print(message, file=sys.stderr)
        return exit_code
    return EXIT_DONE


def _explain(error: BaseException) -> tuple[int | None, str]:
    """Returns the exit code of an error and what the user reads; None for a fault of this code."""
    name = interrupts.received()
    if isinstance(error, Interrupted):
        return EXIT_INTERRUPTED, str(error)
    if name or isinstance(error, KeyboardInterrupt):
        # Out of TensorFlow, the exception of a signal may come as another one.
        return EXIT_KILLED, (
            f"{name or 'Ctrl-C'}: stopped before the end, with nothing to resume from; run the "
            "same command again"
        )
    if isinstance(error, ConfigError):
        return EXIT_USAGE, f"error: {error}\nSee --help."
    if isinstance(error, (DataError, RunError)):
        return EXIT_FAILED, f"error: {error}"
    if isinstance(error, OSError):
        # A disk that is full or read-only, a folder that is gone or may not be read.
        place = f"{error.filename}: " if error.filename else ""
        return EXIT_FAILED, f"error: {place}{error.strerror or error}"
    return None, ""


def check_packages() -> None:
    """Checks that the packages that the programs need are installed, without importing them.

    Raises:
        RunError: one is missing or too old; the message has the command that installs it.
    """
    from importlib import metadata

    wrong, wanted = [], []
    for line in _PACKAGES:
        module, requirement = line.split(": ")
        package, oldest = requirement.split(">=")
        spec = importlib.util.find_spec(module)
        # A folder that an incomplete removal left is a module without a file.
        if spec is None or spec.origin is None:
            wrong.append(f"{package} is not installed")
            wanted.append(f"'{requirement}'")
            continue
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # The module of another package, such as tensorflow-cpu.
        if _numbers(version) < _numbers(oldest):
            wrong.append(f"{package} is {version}, expected {oldest} or newer")
            wanted.append(f"'{requirement}'")
    if wrong:
        command = f"{sys.executable} -m pip install {' '.join(wanted)}"
        raise RunError(f"{'; '.join(wrong)}. Install: {command}")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)[:2]]


class _Output(io.FileIO):
    """Writes to a descriptor, and to nowhere after a failure; a reader that is gone is none."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise OSError(error.errno, error.strerror, "the program's output") from None
            return len(data)


def open_outputs() -> None:
    """Makes `sys.stdout` and `sys.stderr` survive a reader that is gone.

    Standard descriptors that were closed at the start are opened on nothing: else the first file
    that is opened, such as a checkpoint, would have one of their numbers and receive the output.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        # Of a notebook or a test, it is another one.
        if stream is getattr(sys, f"__{name}__"):
            setattr(sys, name, _open_output(descriptor, stream))


def _open_output(descriptor: int, like: io.TextIOWrapper | None) -> io.TextIOWrapper:
    """Returns a stream that writes to a descriptor as another one did."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(descriptor, "w", closefd=False)),
        encoding=like and like.encoding,
        errors="backslashreplace",
        line_buffering=like is None or like.line_buffering or like.write_through,
    )


def quiet_tensorflow() -> None:
    """Connects descriptor 2 to the filter for the rest of this process."""
    terminal = os.dup(2)
    sys.stderr.flush()
    sys.stderr = _open_output(os.dup(terminal), None)
    filtering = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _FILTER],
        stdin=subprocess.PIPE,
        stdout=terminal,
        close_fds=True,
    )
    os.dup2(filtering.stdin.fileno(), 2)
    filtering.stdin.close()
    os.close(terminal)
    # The filter ends by itself when this process, the last writer of the pipe, ends.
    filtering.returncode = 0
