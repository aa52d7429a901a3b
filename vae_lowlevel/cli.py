"""Starts a program: help and bad flags before TensorFlow, then TensorFlow without its log lines."""

from __future__ import annotations

import importlib.util
import os
import re
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
from vae_lowlevel.experiment.terminal import open_outputs, quiet_tensorflow

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
            # When it starts, TensorFlow imports the optimisers of Keras 3, or of tf_keras, which
            # TensorFlow Probability imports anyway.
            os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
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
