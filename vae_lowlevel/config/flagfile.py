"""Reads flagfiles: one `--name=value` per line, and nested ones, within bounds.

The flagfile that a run saves begins with a checksum of its other lines. It is compared when the
file is read as the record of the run, not when it is used as a flagfile of another run.
"""

from __future__ import annotations

import hashlib
import os
import re
import unicodedata

from vae_lowlevel import files
from vae_lowlevel.config.fields import quote
from vae_lowlevel.errors import ConfigError, RunError

# Far above any use; they bound what an endless file or a loop of nested files can cost.
_MAX_BYTES = 2**20
_MAX_LINES = 20_000
_MAX_FILES = 100
_CHECKSUM = "# sha256 of the lines below: "


def read_flagfiles(path: str) -> list[str]:
    """Returns the arguments in a flagfile, with those of nested flagfiles in their places.

    Args:
        path: of the file, UTF-8. Lines that begin with # or // are comments.

    Raises:
        ConfigError: a file cannot be read, is no text, is too long or contains itself.
    """
    return _arguments(path, [])


def read_saved_flagfile(path: str) -> list[str]:
    """Returns the arguments in the flagfile that a run saved.

    A file without a checksum is accepted: earlier versions wrote none.

    Raises:
        RunError: the file cannot be read, or is not as the run wrote it.
    """
    try:
        lines = _read_lines(path)
    except (OSError, ValueError) as error:
        raise RunError(f"{path} is damaged or cannot be read: {_reason(error)}") from None
    if lines[0].startswith(_CHECKSUM) and lines[0] != _checksum_line(lines[1:]):
        raise RunError(
            f"{path} is damaged: its lines do not match the checksum in its first line. Restore "
            "the file from a copy; if you edited it, delete its first line"
        )
    arguments = [line.strip() for line in lines if not _is_comment(line)]
    if not arguments:
        raise RunError(f"{path} is damaged: it has no flags. Restore the file from a copy")
    return arguments


def with_checksum(text: str) -> str:
    """Returns the text of a flagfile below a first line with its checksum."""
    return f"{_checksum_line(_split(text))}\n{text}"


def _arguments(path: str, read: list[int]) -> list[str]:
    """Returns the arguments in a file; `read` has the lines of each file so far, for the bound."""
    if not path:
        raise ConfigError("--flagfile must be the name of a file, got an empty value")
    try:
        lines = _read_lines(path)
    except (OSError, ValueError) as error:
        raise ConfigError(f"cannot read the flagfile {quote(path)}: {_reason(error)}") from None
    read.append(len(lines))
    if len(read) > _MAX_FILES or sum(read) > _MAX_LINES:
        raise ConfigError(
            f"--flagfile={path}: expected at most {_MAX_FILES} nested files and {_MAX_LINES} "
            "lines; does a file contain itself?"
        )
    arguments = []
    for line in lines:
        nested = re.match(r"--?flagfile=(.*)", line)
        if nested:
            arguments += _arguments(os.path.expanduser(nested[1].strip()), read)
        elif not _is_comment(line):
            arguments.append(line.strip())
    return arguments


def _read_lines(path: str) -> list[str]:
    """Returns the lines of a text file, at least one.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no text, or longer than a flagfile can be.
    """
    if files.is_remote(path):
        content = files.read(path)
    else:
        with open(path, "rb") as file:
            content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise ValueError(f"expected a flagfile, found more than {_MAX_BYTES} bytes")
    try:
        # Editors of other systems begin a file with a byte-order mark.
        lines = _split(content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise ValueError(f"expected UTF-8 text, found {error}") from None
    for number, line in enumerate(lines, 1):
        controls = [c for c in line if unicodedata.category(c) == "Cc" and c != "\t"]
        if controls:
            raise ValueError(f"expected text, found {controls[0]!r} in line {number}")
    return lines


def _split(text: str) -> list[str]:
    return re.split(r"\r\n|\r|\n", text)


def _is_comment(line: str) -> bool:
    return not line.strip() or line.startswith(("#", "//"))


def _checksum_line(lines: list[str]) -> str:
    return _CHECKSUM + hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _reason(error: Exception) -> str:
    """Returns what is wrong, without an error number and a second copy of the path."""
    return getattr(error, "strerror", None) or str(error)
