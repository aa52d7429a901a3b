"""The errors that are shown to a user, and the exit code of the command line for each."""

import re

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 75  # sysexits.h EX_TEMPFAIL: the same command resumes.
EXIT_KILLED = 130  # 128 + SIGINT, as shells report it.


class ConfigError(ValueError):
    """A setting is wrong, or does not fit the run or the data (exit code 2)."""


class DataError(RuntimeError):
    """Data are missing or damaged, or their shape is not the expected one (exit code 1)."""


class RunError(RuntimeError):
    """A run, checkpoint or export cannot be read, or training cannot continue (exit code 1)."""


class Interrupted(Exception):  # noqa: N818 - a normal way to end, not an error
    """Training was asked to stop; its state is saved (exit code 75)."""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's text, without the operations that TensorFlow names."""
    lines = re.sub(r"\{\{.*?\}\} ?| \[Op:\w+\]", "", str(error)).strip().splitlines()
    return lines[0] if lines else type(error).__name__
