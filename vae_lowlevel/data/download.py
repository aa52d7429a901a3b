"""Downloads published files into the cache folder and verifies their content."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import pathlib
import time
import urllib.error
import urllib.request
import uuid
import zlib
from collections.abc import Sequence

import tqdm

from vae_lowlevel.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_TIMEOUT_SECONDS = 15.0
_WAITS_SECONDS = (0.0, 1.0, 4.0)  # before each round of attempts
_BLOCK_BYTES = 1 << 16


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


def read_bytes(path: pathlib.Path) -> bytes:
    """Reads a file without decompressing it.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: expected a readable file, found: {error.strerror}; check the path and its "
            "permissions"
        ) from error


def verify(content: bytes, sha256: str, origin: str | os.PathLike) -> bytes:
    """Returns the content that has a published SHA-256: the bytes given, or decompressed.

    Args:
        content: all bytes of a file.
        sha256: the published sum, in hexadecimal.
        origin: path or URL of the file, for the error message.

    Raises:
        DataError: neither has this sum, or a gzip file is damaged.
    """
    found = sha256_of(content)
    if found == sha256:
        return content
    decompressed = decompress(content, origin)
    if decompressed is not content:
        if sha256_of(decompressed) == sha256:
            return decompressed
        found = f"{found} (decompressed: {sha256_of(decompressed)})"
    raise DataError(f"{origin}: expected SHA-256 {sha256}, found {found}")


def decompress(content: bytes, origin: str | os.PathLike) -> bytes:
    """Returns what a gzip file contains; returns any other content unchanged.

    The first two bytes decide, not the file name: servers and browsers may decompress a `.gz` file
    without changing its name.

    Args:
        content: all bytes of a file.
        origin: path or URL of the file, for the error message.

    Raises:
        DataError: the gzip file is truncated or damaged.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{origin}: expected a complete gzip file, found {len(content)} bytes that do not "
            f"decompress ({error})"
        ) from error


def sha256_of(content: bytes) -> str:
    """Returns the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


class _MirrorError(Exception):
    """A mirror did not deliver the file; `transient` if another attempt may succeed."""

    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def fetch(name: str, mirrors: Sequence[str], folder: pathlib.Path, sha256: str) -> pathlib.Path:
    """Downloads a file into a folder, complete and verified, or not at all.

    Tries the mirrors in turn, up to three rounds. A mirror with a permanent error (404, wrong
    content) is not tried again. A rename puts the complete file in place, so that processes that
    download it at the same time do not disturb each other. On a terminal, stderr shows a progress
    bar.

    Args:
        name: name of the file on every mirror and in the folder.
        mirrors: base URLs, each with a slash at the end.
        folder: where to write; created if missing.
        sha256: published SHA-256 of the file or of its decompressed content, in hexadecimal.

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
                content = _download_verified(mirror + name, name, sha256)
            except _MirrorError as error:
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


def _download_verified(url: str, name: str, sha256: str) -> bytes:
    content = _download(url, name)
    try:
        verify(content, sha256, url)
    except DataError as error:
        raise _MirrorError(str(error), transient=False) from error
    return content


def _download(url: str, name: str) -> bytes:
    """Returns the complete response; the largest file, 170 MB, fits into memory."""
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as response:
            length = response.headers.get("Content-Length")
            expected = int(length) if length and length.isdecimal() else None
            received = bytearray()
            with tqdm.tqdm(
                total=expected, desc=name, unit="B", unit_scale=True, disable=None
            ) as progress:
                while block := response.read(_BLOCK_BYTES):
                    received += block
                    progress.update(len(block))
    except urllib.error.HTTPError as error:
        error.close()
        transient = error.code in (408, 429) or error.code >= 500
        raise _MirrorError(f"{url}: HTTP {error.code} {error.reason}", transient) from error
    except (OSError, http.client.HTTPException) as error:
        reason = str(getattr(error, "reason", error)) or type(error).__name__
        raise _MirrorError(f"{url}: {reason}", transient=True) from error
    # When it reads in blocks, http.client treats a lost connection as the end of the file.
    if expected is not None and len(received) != expected:
        raise _MirrorError(
            f"{url}: connection lost after {len(received)} of {expected} bytes", transient=True
        )
    return bytes(received)


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
