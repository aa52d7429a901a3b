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


# What TensorFlow adds to a message: the lines of Python that built a graph, nodes, operations.
_ADDED = re.compile(
    r"\AGraph execution error:.*^(  File [^\n]*|<stack traces unavailable>)\n+|"
    r"\{\{.*?\}\} ?| \[Op:\w+\]",
    re.DOTALL | re.MULTILINE,
)


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message, without what TensorFlow adds to it."""
    text = _ADDED.sub("", str(error)).strip()
    # A graph's own check; several may fail at the same time.
    text = text.rpartition("assertion failed: ")[2]
    return text.splitlines()[0] if text else type(error).__name__
