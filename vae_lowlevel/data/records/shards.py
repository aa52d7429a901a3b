"""Writes, finds, checks and reads TFRecord shards of images."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

CLASS_NAMES_FILE = "class_names.txt"
FRAME_BYTES = 16  # around each record: its length and two checksums
FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "shape": tf.io.FixedLenFeature([3], tf.int64),
    "label": tf.io.FixedLenFeature([], tf.int64, default_value=-1),
}
_BATCH = 512


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
    """
    os.makedirs(folder, exist_ok=True)
    paths = []
    for shard in range(shards):
        path = os.path.join(folder, f"{split}-{shard:05d}-of-{shards:05d}.tfrecord")
        partial = f"{path}.partial"
        with tf.io.TFRecordWriter(partial) as writer:
            for row in range(shard, len(examples), shards):
                record = _encode(examples.image[row], int(examples.label[row]))
                writer.write(record)
        os.replace(partial, path)
        paths.append(path)
    return paths


def write_class_names(names: Sequence[str], folder: str) -> None:
    """Writes the class names next to the shards, one per line; without names, no file."""
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
    train = _read_split(train_files)
    test = read_test_split(test_files, train.image.shape[1:]) if test_files else None
    return train, test, read_class_names(train_files)


def find_shards(pattern: str) -> tuple[list[str], list[str]]:
    """Returns the training shards and the test shards that match a pattern, sorted.

    Shards whose file names begin with `test` are the test split, all others the training split.

    Args:
        pattern: a path with `*`, `?` and `[...]`, such as `/data/mine/*.tfrecord`.

    Raises:
        DataError: there is no training shard.
    """
    files = sorted(glob.glob(os.path.expanduser(pattern)))
    files = [file for file in files if os.path.isfile(file)]
    test_files = [file for file in files if os.path.basename(file).startswith("test")]
    train_files = [file for file in files if file not in test_files]
    if not train_files:
        found = f"only the test shards {', '.join(test_files)}" if test_files else "no file"
        raise DataError(f"{pattern}: expected training shards, found {found}")
    return train_files, test_files


def read_test_split(files: Sequence[str], train_shape: Sequence[int]) -> Examples:
    """Reads the test shards and checks that their images have the shape of the training images.

    Args:
        files: the shards.
        train_shape: (H, W, C).

    Raises:
        DataError: a shard is damaged, or the images have another shape.
    """
    test = _read_split(files)
    if test.image.shape[1:] != tuple(train_shape):
        raise DataError(
            f"{files[0]}: expected images of the size of the training images, "
            f"{_describe(train_shape)}, found {_describe(test.image.shape[1:])}"
        )
    return test


def read_class_names(files: Sequence[str]) -> tuple[str, ...]:
    """Returns the class names next to the first shard; without that file, an empty tuple."""
    path = os.path.join(os.path.dirname(files[0]), CLASS_NAMES_FILE)
    if not os.path.isfile(path):
        return ()
    with open(path, encoding="utf-8") as file:
        return tuple(file.read().splitlines())


def _encode(image: np.ndarray, label: int) -> bytes:
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[image.tobytes()])),
        "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=image.shape)),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def _read_split(files: Sequence[str]) -> Examples:
    parts = [part for file in files for part in read_shard(file)]
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


def read_shard(file: str) -> Iterator[Examples]:
    """Yields the examples of one file in parts of at most 512.

    Raises:
        DataError: the file is damaged or contains other records.
    """
    read_bytes = 0
    try:
        for batch in tf.data.TFRecordDataset(file).batch(_BATCH):
            read_bytes += int(tf.reduce_sum(tf.strings.length(batch) + FRAME_BYTES))
            parsed = tf.io.parse_example(batch, FEATURES)
            shapes = parsed["shape"].numpy()
            if np.any(shapes != shapes[0]) or np.any(shapes[0] < 1):
                raise DataError(
                    f"{file}: expected images of one size, found "
                    + " and ".join(_describe(shape) for shape in np.unique(shapes, axis=0)[:2])
                )
            image = [np.frombuffer(content, np.uint8) for content in parsed["image"].numpy()]
            lengths = {len(pixels) for pixels in image}
            if lengths != {int(np.prod(shapes[0]))}:
                raise DataError(
                    f"{file}: expected {np.prod(shapes[0])} bytes for an image of "
                    f"{_describe(shapes[0])}, found {sorted(lengths)}"
                )
            image = np.stack(image).reshape(-1, *shapes[0])
            yield Examples(image, parsed["label"].numpy().astype(np.int32))
        # TensorFlow reports no error for a file that ends within the first 12 bytes of a record.
        if read_bytes != os.path.getsize(file):
            raise DataError(
                f"{file}: expected a complete TFRecord file as tools/make_records writes it, found "
                f"{os.path.getsize(file)} bytes, of which {read_bytes} are complete records"
            )
    except tf.errors.OpError as error:
        raise DataError(
            f"{file}: expected a complete TFRecord file as tools/make_records writes it, found: "
            f"{reason_of(error)}"
        ) from error


def reason_of(error: tf.errors.OpError) -> str:
    """Returns TensorFlow's error message without the name of the operation, {{...}}, before it."""
    return (error.message or str(error)).splitlines()[0].rpartition("}} ")[2]


def _describe(shape: Sequence[int]) -> str:
    return "x".join(str(int(size)) for size in shape)
