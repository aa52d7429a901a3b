"""Parses the files of MNIST and Fashion-MNIST (IDX) and of CIFAR-10 (binary archive)."""

from __future__ import annotations

import io
import math
import os
import struct
import tarfile
from collections.abc import Mapping

import numpy as np

from vae_lowlevel.data.download import decompress
from vae_lowlevel.data.labels import check_labels
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

TRAIN_IMAGES = "train-images-idx3-ubyte"
TRAIN_LABELS = "train-labels-idx1-ubyte"
TEST_IMAGES = "t10k-images-idx3-ubyte"
TEST_LABELS = "t10k-labels-idx1-ubyte"
_IDX_UINT8 = 0x08

CIFAR10_ARCHIVE = "cifar-10-binary.tar.gz"
CIFAR10_FOLDER = "cifar-10-batches-bin"
CIFAR10_TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
CIFAR10_TEST = "test_batch.bin"
CIFAR10_ROWS = 10000  # per file
_SIDE, _CHANNELS, _CLASSES = 32, 3, 10
_ROW_BYTES = 1 + _CHANNELS * _SIDE * _SIDE

# By file name.
_Content = Mapping[str, bytes]
_Paths = Mapping[str, os.PathLike]


def parse_mnist(content: _Content, paths: _Paths) -> tuple[Examples, Examples]:
    """Reads MNIST, or a data set in the same four IDX files.

    Args:
        content: the decompressed bytes of each file.
        paths: the path of each file, for error messages.

    Returns:
        the training split and the test split: image uint8 [N, 28, 28, 1], label int32 [N].

    Raises:
        DataError: a file is not an IDX file of this dtype and shape, or a label is not one of ten
            classes.
    """

    def parse_split(images: str, labels: str) -> Examples:
        image = _parse_idx(content[images], (28, 28), paths[images])
        label = _parse_idx(content[labels], (), paths[labels])
        return Examples(image[..., None], _check_labels(label, len(image), paths[labels]))

    return parse_split(TRAIN_IMAGES, TRAIN_LABELS), parse_split(TEST_IMAGES, TEST_LABELS)


def _parse_idx(content: bytes, shape: tuple[int, ...], origin: str | os.PathLike) -> np.ndarray:
    """Returns the uint8 elements of an IDX file.

    The file is big-endian: two zero bytes, the code of the dtype, the number of dimensions, the
    dimensions as uint32, then the elements.

    Args:
        content: the decompressed bytes of the file.
        shape: shape of one example: (28, 28) for images, () for labels.
        origin: path of the file, for the error message.

    Returns:
        uint8 [N, *shape].

    Raises:
        DataError: the file is not one IDX array of this dtype and shape.

    References:
        LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats".
    """
    rank = 1 + len(shape)
    header_bytes = 4 * (1 + rank)
    elements = np.frombuffer(content[header_bytes:], np.uint8)
    count, remainder = divmod(len(elements), math.prod(shape))
    header = struct.pack(f">4B{rank}I", 0, 0, _IDX_UINT8, rank, count, *shape)
    if content[:header_bytes] != header or remainder:
        raise DataError(
            f"{origin}: expected an IDX file of uint8 {['N', *shape]}, found {len(content)} bytes "
            f"that begin with {content[:header_bytes].hex(' ') or 'nothing'}"
        )
    return elements.reshape(-1, *shape).copy()


def parse_cifar10(content: _Content, paths: _Paths) -> tuple[Examples, Examples]:
    """Reads CIFAR-10 from its binary archive.

    The archive is read in memory, by the names of its six data files; nothing is written to disk.

    Args:
        content: the bytes of the `.tar.gz` file.
        paths: its path, for error messages.

    Returns:
        the training split and the test split: image uint8 [N, 32, 32, 3], label int32 [N].

    Raises:
        DataError: the archive, or a file in it, is damaged or missing.

    References:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    path = paths[CIFAR10_ARCHIVE]
    files = _read_members(content[CIFAR10_ARCHIVE], path)
    train = [_parse_batch(files[name], f"{path}/{name}") for name in CIFAR10_TRAIN]
    image, label = (np.concatenate(parts) for parts in zip(*train, strict=True))
    test = _parse_batch(files[CIFAR10_TEST], f"{path}/{CIFAR10_TEST}")
    return Examples(image, label), Examples(*test)


def _parse_batch(content: memoryview, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images and labels of one data file.

    A row is one label byte and 3072 pixels: 32 x 32 of red, then of green, then of blue.
    """
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW_BYTES)
    label = _check_labels(rows[:, 0], len(rows), origin)
    image = rows[:, 1:].reshape(-1, _CHANNELS, _SIDE, _SIDE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(image), label


def _read_members(archive: bytes, origin: str | os.PathLike) -> dict[str, memoryview]:
    """Returns the content of the six data files; ignores everything else in the archive."""
    names = (*CIFAR10_TRAIN, CIFAR10_TEST)
    wanted = {f"{CIFAR10_FOLDER}/{name}": name for name in names}
    size = CIFAR10_ROWS * _ROW_BYTES
    tar = decompress(archive, 2 * len(names) * size, origin)
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as members:
            place = 0
            for member in members:
                # A negative size leads tarfile back to where it was, for ever.
                if member.offset_data <= place or member.size < 0:
                    raise DataError(f"{origin}: expected a .tar.gz file, found members in a circle")
                place = member.offset_data
                name = wanted.get(member.name)
                if name is None:
                    continue
                content = memoryview(tar)[place : place + member.size]
                if not member.isreg() or member.size != size or len(content) != size:
                    raise DataError(
                        f"{origin}: expected {member.name} as a file of {size} bytes, found "
                        f"{member.size} bytes, of which {len(content)} are in the archive"
                    )
                files[name] = content
    # ValueError and RecursionError: of damaged headers.
    except (tarfile.TarError, OSError, EOFError, ValueError, RecursionError) as error:
        raise DataError(f"{origin}: expected a .tar.gz file, found: {error}") from error
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{origin}: expected {', '.join(missing)} in {CIFAR10_FOLDER}/, found none")
    return files


def _check_labels(label: np.ndarray, count: int, origin: str | os.PathLike) -> np.ndarray:
    """Returns labels as int32 [count]."""
    try:
        return check_labels(label, count, _CLASSES)
    except ValueError as error:
        raise DataError(f"{origin}: {error}") from error
