"""Downloads published files into the cache folder and verifies their content."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pathlib
import time
import uuid
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from vae_lowlevel.data.transfer import MirrorError, download
from vae_lowlevel.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_WAITS_SECONDS = (0.0, 1.0, 4.0)  # before each round of attempts


def cache_folder() -> pathlib.Path:
    """Returns `$XDG_CACHE_HOME/vae_lowlevel` or `~/.cache/vae_lowlevel`.

    Raises:
        DataError: there is no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification requires that relative paths are ignored.
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise DataError(
            "expected a home folder for downloads, found none; set XDG_CACHE_HOME or "
            "--data_dir=<folder with the files>"
        )
    return pathlib.Path(base) / "vae_lowlevel"


class KnownContent(NamedTuple):
    """What is known about a published file.

    Attributes:
        sha256: of the file, or of what it decompresses to, in hexadecimal.
        size: of the same, in bytes. Nothing larger is downloaded, read or decompressed.
    """

    sha256: str
    size: int

    @property
    def most_bytes(self) -> int:
        """The largest file that can hold the content: gzip enlarges what it cannot compress."""
        return self.size + self.size // 1000 + 1024


def read_bytes(path: pathlib.Path, most_bytes: int) -> bytes:
    """Reads a file without decompressing it.

    Raises:
        DataError: the file cannot be read, or is larger than `most_bytes`.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size <= most_bytes:
                return file.read(size)
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable file, found: {error.strerror}; check the path and its "
            "permissions"
        ) from error
    raise DataError(f"{path}: expected at most {most_bytes} bytes, found {size}")


def verify(content: bytes, known: KnownContent, origin: str | os.PathLike) -> bytes:
    """Returns the content that has a published SHA-256: the bytes given, or decompressed.

    Args:
        content: all bytes of a file.
        known: the published sum and size.
        origin: path or URL of the file, for the error message.

    Raises:
        DataError: neither has this sum, or a gzip file is damaged.
    """
    found = sha256_of(content)
    if found == known.sha256:
        return content
    if content.startswith(_GZIP_MAGIC):
        inflated = _inflate(content, known.size, origin)
        if sha256_of(inflated) == known.sha256:
            return inflated
        is_larger = len(inflated) > known.size
        found_inside = f"more than {known.size} bytes" if is_larger else sha256_of(inflated)
        found = f"{found} (decompressed: {found_inside})"
    raise DataError(f"{origin}: expected SHA-256 {known.sha256}, found {found}")


def decompress(content: bytes, most_bytes: int, origin: str | os.PathLike) -> bytes:
    """Returns what a gzip file contains; returns any other content unchanged.

    The first two bytes decide, not the file name: servers and browsers may decompress a `.gz` file
    without changing its name.

    Args:
        content: all bytes of a file.
        most_bytes: where to stop, since a gzip file can contain 1000 times its own size.
        origin: path or URL of the file, for the error message.

    Raises:
        DataError: the gzip file is truncated or damaged, or contains more than `most_bytes`.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    inflated = _inflate(content, most_bytes, origin)
    if len(inflated) > most_bytes:
        raise DataError(
            f"{origin}: expected a gzip file of at most {most_bytes} bytes when decompressed, "
            "found a larger one"
        )
    return inflated


def _inflate(content: bytes, most_bytes: int, origin: str | os.PathLike) -> bytes:
    """Returns what a gzip file contains, or its first `most_bytes` + 1 bytes."""
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            return file.read(most_bytes + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{origin}: expected a complete gzip file, found {len(content)} bytes that do not "
            f"decompress ({error})"
        ) from error


def sha256_of(content: bytes) -> str:
    """Returns the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def fetch(
    name: str, mirrors: Sequence[str], folder: pathlib.Path, known: KnownContent
) -> pathlib.Path:
    """Downloads a file into a folder, complete and verified, or not at all.

    Tries the mirrors in turn, up to three rounds. A mirror with a permanent error (404, wrong
    content or too much of it, too slow) is not tried again. A rename puts the complete file in
    place, so that processes that download it at the same time do not disturb each other. On a
    terminal, stderr shows a progress bar.

    Args:
        name: name of the file on every mirror and in the folder.
        mirrors: base URLs, each with a slash at the end.
        folder: where to write; created if missing.
        known: published sum and size of the file or of its decompressed content.

    Returns:
        The path of the file.

    Raises:
        DataError: no mirror delivered the file, or the folder is not writable.
    """
    _make_folder(folder)
    remaining = list(mirrors)
    failures = {}
    for wait in _WAITS_SECONDS:
        if not remaining:
            break
        time.sleep(wait)
        for mirror in tuple(remaining):
            try:
                content = _download_verified(mirror + name, name, known)
            except MirrorError as error:
                failures[mirror] = str(error)
                if not error.transient:
                    remaining.remove(mirror)
            else:
                return _write(folder / name, content)
    reasons = "".join(f"\n  {reason}" for reason in failures.values())
    raise DataError(
        f"{name}: expected a download from one of {len(mirrors)} mirrors, found:{reasons}\n"
        f"Without a network, put the files of this data set into {folder}, or into any folder "
        "and set --data_dir=<folder>"
    )


def _download_verified(url: str, name: str, known: KnownContent) -> bytes:
    content = download(url, name, known.most_bytes)
    try:
        verify(content, known, url)
    except DataError as error:
        raise MirrorError(str(error), transient=False) from error
    return content


def _make_folder(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _write(path: pathlib.Path, content: bytes) -> pathlib.Path:
    """Writes to a temporary file, whose name no other process uses, then renames it."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        try:
            part.write_bytes(content)
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    return path


def _unwritable(folder: pathlib.Path, error: OSError) -> DataError:
    return DataError(
        f"{folder}: expected a writable folder for downloads, found: {error.strerror}; free some "
        "space or set XDG_CACHE_HOME to a writable folder"
    )
