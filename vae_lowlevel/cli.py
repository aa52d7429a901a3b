"""Starts a program of the package: help and bad flags before TensorFlow, then a quiet TensorFlow.

TensorFlow 2.21 writes information lines to file descriptor 2 that no environment variable stops.
While a program runs, descriptor 2 is connected to a small filter process, which drops these lines
and passes on all others. It is a separate process so that the last lines of a crash are shown.
Python's own `sys.stderr` (tracebacks, the progress bar) is connected to the terminal directly.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from vae_lowlevel.config.fields import Options
from vae_lowlevel.config.flags import help_text, parse
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

_HELP = {"-h", "-help", "--help", "--helpfull", "--helpshort"}

# A log line of TensorFlow's C++ begins with severity, month and day (I0807, W0807, E0807), in older
# versions with a time stamp and the severity (2026-08-07 10:11:12.345678: E). Without an NVIDIA
# device, CUDA's failure to start is logged as an error, E, and dropped; with one, it is shown.
_FILTER = r"""
import glob, re, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
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
        stopped by Ctrl-C with nothing to save.
    """
    argv = sys.argv[1:] if argv is None else argv
    if _HELP.intersection(argv):
        print(help_text(usage, options))
        return EXIT_DONE
    try:
        parsed = parse(argv, options)
        if not (parsed.tensorflow_log or "TF_CPP_MIN_LOG_LEVEL" in os.environ):
            quiet_tensorflow()
        run(parsed)
    except ConfigError as error:
        print(f"error: {error}\nSee --help.", file=sys.stderr)
        return EXIT_USAGE
    except (DataError, RunError) as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_FAILED
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        print(
            "stopped before there was anything to save; run the same command again",
            file=sys.stderr,
        )
        return EXIT_KILLED
    return EXIT_DONE


def quiet_tensorflow() -> None:
    """Connects descriptor 2 to the filter for the rest of this process."""
    terminal = os.dup(2)
    sys.stderr.flush()
    sys.stderr = os.fdopen(os.dup(terminal), "w", buffering=1, errors="backslashreplace")
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
