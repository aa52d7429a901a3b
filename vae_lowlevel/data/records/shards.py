"""Writes, checks and reads TFRecord shards of images."""

from __future__ import annotations

import array
import math
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.data.labels import check_labels
from vae_lowlevel.data.records.files import (
    CLASS_NAMES_FILE,
    find_shards,
    read_class_names,
    shard_path,
)
from vae_lowlevel.errors import DataError, first_line
from vae_lowlevel.types import Examples

FRAME_BYTES = 16  # around each record: its length and two checksums
FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "shape": tf.io.FixedLenFeature([3], tf.int64),
    "label": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
}
# The message of an OpError quotes a record that cannot be parsed; if it is not UTF-8, TensorFlow
# raises a UnicodeDecodeError instead.
READ_ERRORS = (tf.errors.OpError, UnicodeDecodeError)
_BATCH = 512
_LENGTH_BYTES = 8


def write_records(examples: Examples, folder: str, split: str, shards: int) -> list[str]:
    """Writes a split as `<folder>/<split>-<number>-of-<shards>.tfrecord`.

    A record is a `tf.train.Example` with three features: `image`, the bytes of uint8 [H, W, C];
    `shape`, (H, W, C); and `label`. Example i is in shard i modulo `shards`.

    Args:
        examples: what to write, without the factors of variation.
        folder: where to write; created if missing. Shards of the same names are replaced.
        split: "train" or "test".
        shards: number of files, at least 1.

    Returns:
        The paths of the files.

    Raises:
        DataError: a file cannot be written.
    """
    os.makedirs(folder, exist_ok=True)
    paths = []
    for shard in range(shards):
        path = shard_path(os.path.join(folder, split), shard, shards)
        partial = f"{path}.partial"
        try:
            with tf.io.TFRecordWriter(partial) as writer:
                for row in range(shard, len(examples), shards):
                    record = _encode(examples.image[row], int(examples.label[row]))
                    writer.write(record)
        except tf.errors.OpError as error:
            raise DataError(f"{partial}: cannot be written: {reason_of(error)}") from error
        os.replace(partial, path)
        paths.append(path)
    return paths


def write_class_names(names: Sequence[str], folder: str) -> None:
    """Writes the class names next to the shards, one per line; without names, no file.

    Raises:
        DataError: a name would not be read again as it is.
    """
    for name in names:
        if not name.isprintable() or not name.strip():
            raise DataError(f"expected class names of printable characters, found {name!r}")
    if names:
        with open(os.path.join(folder, CLASS_NAMES_FILE), "w", encoding="utf-8") as file:
            file.write("".join(f"{name}\n" for name in names))


def load_records(pattern: str) -> tuple[Examples, Examples | None, tuple[str, ...]]:
    """Reads all shards that match a pattern, in the order of their names.

    Args:
        pattern: as in `find_shards`.

    Returns:
        the training split; the test split or None; and the class names, from `class_names.txt`
        next to the first shard.

    Raises:
        DataError: no file matches, or one is damaged or contains other records.
    """
    train_files, test_files = find_shards(pattern)
    names = read_class_names(train_files)
    num_classes = len(names) or None
    train = _read_split(train_files, num_classes)
    shape = train.image.shape[1:]
    test = read_test_split(test_files, shape, num_classes) if test_files else None
    return train, test, names


def read_test_split(
    files: Sequence[str], train_shape: Sequence[int], num_classes: int | None
) -> Examples:
    """Reads the test shards and checks that their images have the shape of the training images.

    Args:
        files: the shards.
        train_shape: (H, W, C).
        num_classes: as in `read_shard`.

    Raises:
        DataError: a shard is damaged, or the images have another shape.
    """
    test = _read_split(files, num_classes)
    if test.image.shape[1:] != tuple(train_shape):
        raise DataError(
            f"{files[0]}: expected images of the size of the training images, "
            f"{_describe(train_shape)}, found {_describe(test.image.shape[1:])}"
        )
    return test


def _encode(image: np.ndarray, label: int) -> bytes:
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=image.shape)),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _read_split(files: Sequence[str], num_classes: int | None) -> Examples:
    parts = [part for file in files for part in read_shard(file, num_classes)]
    if not parts:
        raise empty_shards_error(files)
    check_one_size(files, {part.image.shape[1:] for part in parts})
    return Examples(
        np.concatenate([part.image for part in parts]),
        np.concatenate([part.label for part in parts]),
    )


def check_one_size(files: Sequence[str], sizes: Iterable[tuple[int, ...]]) -> None:
    """Checks that the images of some shards have one size.

    Args:
        files: the shards, for the error message.
        sizes: (H, W, C) of their images.

    Raises:
        DataError: there are several sizes.
    """
    if len(sizes := set(sizes)) > 1:
        raise DataError(
            f"{files[0]}: expected shards with images of one size, found "
            + " and ".join(_describe(size) for size in sorted(sizes)[:2])
        )


def empty_shards_error(files: Sequence[str]) -> DataError:
    """Returns the error for shards that are all empty."""
    return DataError(f"{files[0]}: expected records in this shard or in another, found none")


def read_shard(file: str, num_classes: int | None = None) -> Iterator[Examples]:
    """Yields the examples of one file in parts of at most 512.

    Args:
        file: the shard.
        num_classes: number of class names; None if labels have none; 0 if there must be no labels
            but -1, because they have no names.

    Raises:
        DataError: the file is damaged, contains other records, or a label is out of range.
    """
    record_offsets(file)
    try:
        for batch in tf.data.TFRecordDataset(file).batch(_BATCH):
            parsed = tf.io.parse_example(batch, FEATURES)
            yield _checked(file, {key: value.numpy() for key, value in parsed.items()}, num_classes)
    except READ_ERRORS as error:
        raise _incomplete(file, reason_of(error)) from error


def _checked(file: str, parsed: dict[str, np.ndarray], num_classes: int | None) -> Examples:
    """Returns parsed features as examples; no size is believed that the pixels do not have."""
    shapes = parsed["shape"]
    if np.any(shapes != shapes[0]) or np.any(shapes[0] < 1):
        raise DataError(
            f"{file}: expected images of one size, at least 1x1x1, found "
            + " and ".join(_describe(shape) for shape in np.unique(shapes, axis=0)[:2])
        )
    shape = tuple(map(int, shapes[0]))
    lengths = set(map(len, parsed["image"]))
    if lengths != {math.prod(shape)}:
        raise DataError(
            f"{file}: expected {math.prod(shape)} bytes for an image of {_describe(shape)}, found "
            f"{sorted(lengths)[:3]}"
        )
    image = np.frombuffer(b"".join(parsed["image"]), np.uint8).reshape(-1, *shape)
    if num_classes == 0 and parsed["label"].max() >= 0:
        raise DataError(
            f"{file}: expected {CLASS_NAMES_FILE} next to it, with one name per line: its examples "
            "have labels, and streamed records are not all read before training to count the "
            "classes"
        )
    try:
        return Examples(image, check_labels(parsed["label"], len(image), num_classes or None))
    except ValueError as error:
        raise DataError(f"{file}: {error}") from error


def record_offsets(file: str) -> np.ndarray:
    """Returns where each record of a shard begins, int64, from the length before each record.

    TensorFlow reads a record of any length that a shard claims, and reports no error for a shard
    that ends within the first 12 bytes of a record. The sums of the records must be that of the
    file.

    Raises:
        DataError: they are not.
    """
    offsets = array.array("q")
    offset = 0
    try:
        with open(file, "rb", buffering=0) as shard:
            size = os.fstat(shard.fileno()).st_size
            while offset < size:
                offsets.append(offset)
                shard.seek(offset)
                length = shard.read(_LENGTH_BYTES)
                offset += FRAME_BYTES + int.from_bytes(length, "little")
    except OSError as error:
        raise _incomplete(file, error.strerror) from error
    if offset != size:
        raise _incomplete(file, f"{size} bytes that do not end with a record")
    return np.frombuffer(offsets, np.int64)


def _incomplete(file: str, reason: str) -> DataError:
    return DataError(
        f"{file}: expected a complete TFRecord file as tools/make_records writes it, found: "
        f"{reason}"
    )


def reason_of(error: tf.errors.OpError | UnicodeDecodeError) -> str:
    """Returns the first line of TensorFlow's message."""
    if isinstance(error, UnicodeDecodeError):
        return "a record that is no tf.train.Example"
    return first_line(error)


def _describe(shape: Sequence[int]) -> str:
    return "x".join(str(int(size)) for size in shape)
