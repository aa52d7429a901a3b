"""The IDX file format: a magic number, the dimensions, then the elements, all big-endian."""

from __future__ import annotations

import math
import os

import numpy as np

from vae_lowlevel.data.download import read_content
from vae_lowlevel.errors import DataError

_DTYPES = {
    0x08: np.dtype(np.uint8),
    0x09: np.dtype(np.int8),
    0x0B: np.dtype(">i2"),
    0x0C: np.dtype(">i4"),
    0x0D: np.dtype(">f4"),
    0x0E: np.dtype(">f8"),
}


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """Reads an IDX file, compressed with gzip or not.

    Returns:
        The array, of the shape and dtype that the file states, in native byte order.

    Raises:
        DataError: the file cannot be read, or is not a whole IDX file and nothing else.
    """
    return parse_idx(read_content(path), path)


def parse_idx(content: bytes, origin: str | os.PathLike) -> np.ndarray:
    """Returns the array that the content of an IDX file describes.

    Args:
        content: the decompressed bytes of the whole file.
        origin: the path or address it came from, for the error.

    Returns:
        The array, of the shape and dtype that the file states, in native byte order.

    Raises:
        DataError: the content is not exactly one IDX array.

    References:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    if len(content) < 4 or content[:2] != b"\0\0":
        raise _damaged(origin, "two zero bytes, a dtype code and a count", content[:4].hex(" "))
    code, rank = content[2], content[3]
    if code not in _DTYPES:
        known = ", ".join(f"0x{known:02x}" for known in _DTYPES)
        raise _damaged(origin, f"a dtype code of {known}", f"0x{code:02x}")
    header = 4 + 4 * rank
    if rank == 0 or len(content) < header:
        raise _damaged(
            origin, "one or more dimensions of 4 bytes each", f"{rank} in {len(content)} bytes"
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", rank, offset=4))
    dtype = _DTYPES[code]
    # Python integers: a damaged header may well state more bytes than an int64 counts.
    length = header + math.prod(shape) * dtype.itemsize
    if len(content) != length:
        raise _damaged(
            origin, f"{length} bytes for shape {shape} of {dtype.name}", f"{len(content)} bytes"
        )
    try:
        stored = np.frombuffer(content, dtype, offset=header).reshape(shape)
    except ValueError as error:  # More dimensions, or larger ones beside a 0, than NumPy takes.
        raise _damaged(origin, "a shape that NumPy can hold", f"{shape} ({error})") from error
    return stored.astype(dtype.newbyteorder("="))


def _damaged(origin: str | os.PathLike, expected: str, found: str) -> DataError:
    """Returns the error for content that is not IDX."""
    return DataError(
        f"{origin}: not a whole IDX file: expected {expected}, found {found or 'nothing'}; "
        "fetch the file again"
    )
