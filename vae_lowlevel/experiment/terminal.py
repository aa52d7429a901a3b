"""The output of a process: it survives a lost reader, and TensorFlow's start-up lines are left out.

TensorFlow 2.21 writes information lines to file descriptor 2 that no environment variable stops.
While they are filtered, descriptor 2 is connected to a small process, which drops these lines and
passes on all others. It is a separate process so that the last lines of a crash are shown.
Python's own `sys.stderr` (tracebacks, the progress bar) does not pass through the filter.

When the reader of stdout or stderr of a program is gone (`| head`, a lost terminal), it continues
without output: what it was started for is in files.
"""

from __future__ import annotations

import errno
import io
import logging
import os
import subprocess
import sys
from typing import Any

# A log line of TensorFlow's C++ begins with severity, month and day (I0807, W0807, E0807), in older
# versions with a time stamp and the severity (2026-08-07 10:11:12.345678: E). Without an NVIDIA
# device, CUDA's failure to start is logged as an error, E, and dropped; with one, it is shown. That
# another kernel is taken in place of one of oneDNN's is logged as an error, too.
_FILTER = r"""
import glob, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
harmless = rb"Unable to register cu\w+ factory|computation placer already registered"
harmless += rb"|oneDNN supports DT_\w+ only on platforms with"
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

_is_quiet = False


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
    """Drops TensorFlow's start-up lines for the rest of this process; call it before its import.

    Dropped are the information lines of TensorFlow's C++ (instructions of the CPU, XLA's service,
    compiled clusters), those of its Python logger, which appear only in notebooks ("Assets
    written to ..."), and, on a machine without an NVIDIA device, the message that CUDA does not
    start. Warnings, errors and the last lines of a crash are passed on. Other loggers and
    `warnings` are not changed. A second call does nothing.

    The programs of the command line call it. Importing the package does not: descriptor 2 belongs
    to the whole process, and information lines of other C++ libraries may have the same format. A
    script or a notebook calls it if it wants to.

    Example:
        >>> from vae_lowlevel import quiet_tensorflow
        >>> quiet_tensorflow()  # doctest: +SKIP
        >>> from vae_lowlevel import VAE
    """
    global _is_quiet
    if _is_quiet:
        return
    _is_quiet = True
    # A level would not last: TensorFlow sets that of its logger at the first use.
    logging.getLogger("tensorflow").addFilter(lambda record: record.levelno >= logging.WARNING)
    terminal = os.dup(2)
    # The stream of a notebook's cell does not pass through descriptor 2 and stays as it is.
    if _writes_to(sys.stderr, 2):
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


def _writes_to(stream: io.TextIOBase, descriptor: int) -> bool:
    """Returns whether a stream writes to a descriptor; one without a descriptor does not."""
    try:
        return stream.fileno() == descriptor
    except io.UnsupportedOperation:
        return False
