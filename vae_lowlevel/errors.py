"""The errors a user meets, each with the exit code of the command line."""

EXIT_DONE = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 75  # sysexits.h EX_TEMPFAIL: run the same command again.
EXIT_KILLED = 130  # 128 + SIGINT, as shells report it.


class ConfigError(ValueError):
    """A setting is wrong, or does not fit the run it is applied to (exit code 2)."""


class DataError(RuntimeError):
    """Data are missing, damaged or of another shape than expected (exit code 1)."""


class RunError(RuntimeError):
    """A run, checkpoint or export cannot be read, or training cannot go on (exit code 1)."""


class Interrupted(Exception):  # noqa: N818 - a normal way to end, not an error
    """Training was asked to stop; its state is saved (exit code 75)."""
