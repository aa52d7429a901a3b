"""Downloads a file from the first of several mirrors that serves the right content."""

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

DATA_DIR_VARIABLE = "VAE_LOWLEVEL_DATA_DIR"


def cache_folder() -> pathlib.Path:
    """Returns `$XDG_CACHE_HOME/vae_lowlevel` or `~/.cache/vae_lowlevel`.

    Raises:
        DataError: there is no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise DataError(
            "expected a home folder to keep downloads in, found none; set XDG_CACHE_HOME or give "
            "--data_dir=<folder with the files>"
        )
    return pathlib.Path(base) / "vae_lowlevel"


_GZIP_MAGIC = b"\x1f\x8b"


def read_bytes(path: str | os.PathLike) -> bytes:
    """Reads a file as it is.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"{path}: expected a file to read, found: {error.strerror}; check path and permissions"
        ) from error


def read_content(path: str | os.PathLike) -> bytes:
    """Reads a file and decompresses it if it is a gzip file.

    Raises:
        DataError: the file cannot be read, or is a damaged gzip file.
    """
    return decompress(read_bytes(path), path)


def decompress(content: bytes, origin: str | os.PathLike) -> bytes:
    """Returns what a gzip file holds; any other content as it is.

    The first two bytes decide, never the name: servers and browsers unpack a `.gz` unasked.

    Args:
        content: the bytes of the whole file.
        origin: the path or address it came from, for the error.

    Raises:
        DataError: the gzip file is cut short or damaged.
    """
    if not content.startswith(_GZIP_MAGIC):
        return content
    try:
        return gzip.decompress(content)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{origin}: expected a whole gzip file, found {len(content)} bytes that do not "
            f"decompress ({error}); fetch the file again"
        ) from error


def sha256_of(content: bytes) -> str:
    """Returns the SHA-256 of `content` in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


_TIMEOUT_SECONDS = 15.0
_WAITS_SECONDS = (0.0, 1.0, 4.0)  # before each round over the mirrors
_BLOCK_BYTES = 1 << 16


class _MirrorError(Exception):
    """One mirror did not deliver; `transient` if it may do so when asked again."""

    def __init__(self, message: str, transient: bool) -> None:
        super().__init__(message)
        self.transient = transient


def fetch(
    name: str,
    mirrors: Sequence[str],
    destination: str | os.PathLike,
    sha256: str,
    *,
    is_packed_sum: bool = False,
) -> pathlib.Path:
    """Downloads `name` into a folder, whole and checked, or not at all.

    Asks the mirrors in turn, up to three rounds; one that gives a lasting error (404, wrong
    content) is not asked again. The file appears under its name by a rename, so that processes
    that download it at the same time do not see each other's halves. A progress bar goes to
    stderr if that is a terminal.

    Args:
        name: the file's name, at every mirror and in the folder.
        mirrors: base URLs, each ending in a slash.
        destination: the folder; made if it is missing.
        sha256: SHA-256 of the decompressed content, in hexadecimal.
        is_packed_sum: `sha256` is that of the file as it is served, compressed.

    Returns:
        The path of the file.

    Raises:
        DataError: no mirror delivered, or the folder cannot be written to.
    """
    folder = pathlib.Path(destination)
    _make_folder(folder)
    remaining = list(mirrors)
    failures = {}
    for wait in _WAITS_SECONDS:
        if not remaining:
            break
        time.sleep(wait)
        for mirror in tuple(remaining):
            try:
                content = _download(mirror + name, name)
                _check(content, mirror + name, sha256, is_packed_sum)
            except _MirrorError as error:
                failures[mirror] = str(error)
                if not error.transient:
                    remaining.remove(mirror)
            else:
                return _write(folder / name, content)
    reasons = "".join(f"\n  {mirror}{name}: {reason}" for mirror, reason in failures.items())
    raise DataError(
        f"cannot download {name}, expected from one of {len(mirrors)} mirrors, found:{reasons}\n"
        f"Without a network, put the files of this data set into {folder}, or into any folder "
        "and give --data_dir=<folder>"
    )


def _download(url: str, name: str) -> bytes:
    """Returns what the server sends, complete; content is at most 170 MB and stays in memory."""
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
        raise _MirrorError(f"HTTP {error.code} {error.reason}", transient) from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise _MirrorError(str(reason) or type(error).__name__, transient=True) from error
    # Reading in blocks, http.client takes a connection that breaks off for the end of the file.
    if expected is not None and len(received) != expected:
        raise _MirrorError(f"broke off after {len(received)} of {expected} bytes", transient=True)
    return bytes(received)


def _check(content: bytes, url: str, sha256: str, is_packed_sum: bool) -> None:
    """Raises a lasting error if the content is not the wanted one."""
    try:
        found = sha256_of(content if is_packed_sum else decompress(content, url))
    except DataError as error:
        raise _MirrorError(f"{len(content)} bytes of a damaged gzip file", False) from error
    if found != sha256:
        raise _MirrorError(f"expected SHA-256 {sha256}, found {found}", transient=False)


def _make_folder(folder: pathlib.Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def _write(path: pathlib.Path, content: bytes) -> pathlib.Path:
    """Writes beside, under a name no other process takes, then renames."""
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
        f"expected to write downloads to {folder}, found: {error.strerror}; make room or set "
        "XDG_CACHE_HOME to a folder that can be written to"
    )
