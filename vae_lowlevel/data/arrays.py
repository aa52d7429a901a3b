"""Reads .npy and .npz files that nobody vouches for: every size is checked before it is allocated.

`np.load` allocates what the header of a file claims, and raises errors of a dozen kinds for damaged
files.
"""

from __future__ import annotations

import ast
import math
import os
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import BinaryIO, NamedTuple

import numpy as np

from vae_lowlevel.errors import DataError

_MAGIC = b"\x93NUMPY"
# An array of the package has some 100 bytes; NumPy itself refuses more than 10,000.
_MOST_HEADER_BYTES = 10_000
_MOST_SIZE = 2**31 - 1  # of one dimension; row numbers are int32
_MOST_DIMENSIONS = 32  # of NumPy before 2.0
_KINDS = "biufcSU"  # bool, integers, floats, complex, texts: no objects and no records
_NPY, _NPZ = "an .npy file", "an .npz file"
_BLOCK_BYTES = 1 << 20
# The record at the end of a zip file: 22 bytes and a comment; members that 16 bits cannot count.
_END_SIGNATURE, _MOST_END_BYTES, _MANY_MEMBERS = b"PK\x05\x06", 22 + 0xFFFF, 0xFFFF
_ENCRYPTED = 0x1  # bit of a member's flags
# Of DEFLATE: 258 bytes from two bits (RFC 1951). A member that claims more is no real one.
_MOST_INFLATION = 1032

# What zipfile and zlib are seen to raise for damaged archives. RuntimeError: encrypted, or of an
# unknown version or method (NotImplementedError).
_ZIP_ERRORS = (
    *(OSError, ValueError, EOFError, RuntimeError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


class Archive(NamedTuple):
    """What was read from an .npz file.

    Attributes:
        arrays: the arrays asked for that the file has, by name.
        names: of all arrays in the file.
    """

    arrays: dict[str, np.ndarray]
    names: tuple[str, ...]


def read_npy(path: str) -> np.ndarray:
    """Reads an .npy file.

    Raises:
        DataError: it is missing or damaged, holds Python objects, or is larger than memory.
    """
    try:
        with open(path, "rb") as file:
            return _read_array(file, os.path.getsize(path))
    except (OSError, ValueError) as error:
        raise _unreadable(path, _NPY, error) from error


def read_npz(path: str, wanted: Collection[str] = (), *, only: bool = False) -> Archive:
    """Reads arrays of an .npz file.

    The checksums of these arrays are verified. Of the others only the names are, against the two
    places where an archive has them, so that a damaged name does not pass for a missing array.

    Args:
        path: the file.
        wanted: names of the arrays to read.
        only: read the array of a file that has a single one, whatever its name.

    Raises:
        DataError: the file is missing or damaged, an array holds Python objects, or is larger than
            memory.
    """
    try:
        with open(path, "rb") as file:
            return parse_npz(file, path, wanted, only=only)
    except OSError as error:
        raise _unreadable(path, _NPZ, error) from error


def parse_npz(
    file: BinaryIO, path: str, wanted: Collection[str] = (), *, only: bool = False
) -> Archive:
    """Reads arrays of an open .npz file; arguments and errors are those of `read_npz`."""
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            _check_directory(file, len(archive.infolist()))
            if len(members) != len(archive.infolist()):
                raise ValueError("two arrays of one name")
            if only and len(members) == 1:
                wanted = members
            size, arrays = file.seek(0, os.SEEK_END), {}
            for name, info in members.items():
                if name in wanted:
                    _check_member(info, size)
                with archive.open(info) as member:
                    if name in wanted:
                        arrays[name] = _read_array(member, info.file_size)
            return Archive(arrays, tuple(members))
    except _ZIP_ERRORS as error:
        raise _unreadable(path, _NPZ, error) from error


def check_fits_memory(size: int, what: str) -> None:
    """Refuses arrays that are larger than the memory of the machine, before they are allocated.

    Args:
        size: in bytes.
        what: the arrays, for the error message.

    Raises:
        ValueError: they are larger.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if size > memory:
        raise ValueError(
            f"{what} of {size} bytes, more than the {memory} bytes of memory of this machine"
        )


def _check_directory(file: BinaryIO, found: int) -> None:
    """Compares the number of members with the one at the end of the archive.

    A damaged length in an entry of the directory can hide those that follow.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _MOST_END_BYTES))
    end = file.read()
    place = end.rindex(_END_SIGNATURE)
    count = int.from_bytes(end[place + 10 : place + 12], "little")
    if count not in (found, _MANY_MEMBERS):
        raise ValueError(f"a directory of {found} arrays that says it has {count}")


def _check_member(info: zipfile.ZipInfo, archive_bytes: int) -> None:
    if info.flag_bits & _ENCRYPTED:
        raise ValueError(f"{info.filename} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{info.filename} is compressed by method {info.compress_type}, not by that of "
            "np.savez_compressed"
        )
    most = _MOST_INFLATION if info.compress_type == zipfile.ZIP_DEFLATED else 1
    if info.compress_size > archive_bytes or info.file_size > most * info.compress_size:
        raise ValueError(
            f"{info.filename} that claims {info.file_size} bytes in {info.compress_size} bytes of "
            f"an archive of {archive_bytes} bytes"
        )


def _read_array(file: BinaryIO, size: int) -> np.ndarray:
    """Reads an array in the .npy format that is exactly `size` bytes long, header included.

    References:
        NumPy enhancement proposal 1, "A Simple File Format for NumPy Arrays".
    """
    start = file.read(len(_MAGIC) + 2)
    if start[:-2] != _MAGIC or tuple(start[-2:]) not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"no array in the format of NumPy, but bytes that begin with {start!r}")
    length_bytes = 2 if start[-2] == 1 else 4
    header_bytes = int.from_bytes(file.read(length_bytes), "little")
    if header_bytes > _MOST_HEADER_BYTES:
        raise ValueError(f"a header of {header_bytes} bytes")
    dtype, shape, is_fortran = _parse_header(file.read(header_bytes))
    claimed = math.prod(shape) * dtype.itemsize
    found = size - len(start) - length_bytes - header_bytes
    described = f"an array of {dtype} {list(shape)}"
    if claimed != found:
        raise ValueError(f"{described}, which has {claimed} bytes, in {found} bytes")
    check_fits_memory(claimed, described)
    try:
        content = np.empty([claimed], np.uint8)
    except MemoryError as error:
        raise ValueError(f"{described} of {claimed} bytes, for which memory is missing") from error
    received = 0
    # Also reads the end of the file, where zipfile compares the checksum.
    while block := file.read(_BLOCK_BYTES):
        if received + len(block) > claimed:
            raise ValueError(f"{described} that is longer than {claimed} bytes")
        content[received : received + len(block)] = np.frombuffer(block, np.uint8)
        received += len(block)
    if received != claimed:
        raise ValueError(f"{described} that ends after {received} of {claimed} bytes")
    array = content.view(dtype)
    return array.reshape(shape[::-1]).T if is_fortran else array.reshape(shape)


def _parse_header(header: bytes) -> tuple[np.dtype, tuple[int, ...], bool]:
    """Returns dtype, shape and whether the first axis varies fastest."""
    try:
        fields = ast.literal_eval(header.decode("utf-8"))
        description, shape = fields["descr"], fields["shape"]
        is_fortran = fields["fortran_order"]
        dtype = np.dtype(description) if isinstance(description, str) else np.dtype(object)
    # All that literal_eval is documented to raise, and np.dtype.
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError, KeyError) as error:
        raise ValueError(f"a damaged header: {header[:200]!r}") from error
    if dtype.kind not in _KINDS or not dtype.itemsize:
        raise ValueError(f"an array of {str(description)[:200]}, not of plain numbers")
    is_shape = isinstance(shape, tuple) and all(type(size) is int and size >= 0 for size in shape)
    # An array of no elements could claim anything for its other dimensions.
    if not is_shape or len(shape) > _MOST_DIMENSIONS or max(shape, default=0) > _MOST_SIZE:
        raise ValueError(f"an array of shape {str(shape)[:200]}")
    if len(fields) != 3 or not isinstance(is_fortran, bool):
        raise ValueError(f"a damaged header: {header[:200]!r}")
    return dtype, shape, is_fortran


def _unreadable(path: str, expected: str, error: Exception) -> DataError:
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return DataError(f"{path}: expected {expected} of plain arrays, found: {reason}")
