"""The content of a file, whatever compressed it, and its SHA-256."""

from __future__ import annotations

import gzip
import hashlib
import os
import pathlib
import zlib

from vae_lowlevel.errors import DataError

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
