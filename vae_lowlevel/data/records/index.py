"""Finds where each record of some shards begins, without reading the records."""

from __future__ import annotations

import array
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_lowlevel.data.records.shards import (
    CLASS_NAMES_FILE,
    FRAME_BYTES,
    check_one_size,
    empty_shards_error,
    read_shard,
)
from vae_lowlevel.errors import DataError

_LENGTH_BYTES = 8


class RecordIndex(NamedTuple):
    """The records of F shards, numbered from 0 to N-1 in the order of the shards.

    Attributes:
        files: the shards.
        first: int64 [F + 1], the number of the first record of each shard; the last element is N.
        offset: int64 [N], where each record begins in its shard, in bytes.
        image_shape: (H, W, C) of the image in the first record.
    """

    files: tuple[str, ...]
    first: np.ndarray
    offset: np.ndarray
    image_shape: tuple[int, int, int]

    def __len__(self) -> int:
        """Returns the number of records."""
        return int(self.first[-1])

    def files_of(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the shard of each record: indices into `files`, int64."""
        return np.searchsorted(self.first, numbers, side="right") - 1


def index_records(files: Sequence[str]) -> RecordIndex:
    """Finds the records of some shards: reads the length of each record and the first image.

    Args:
        files: TFRecord shards as tools/make_records writes them.

    Raises:
        DataError: a shard is truncated or is not a TFRecord file, or there is no record. Damage
            within records is found only when they are read.
    """
    offsets = [_record_offsets(file) for file in files]
    counts = [len(own) for own in offsets]
    if not sum(counts):
        raise empty_shards_error(files)
    with_records = files[int(np.argmax(np.array(counts) > 0))]
    image_shape = next(read_shard(with_records)).image.shape[1:]
    first = np.concatenate([[0], np.cumsum(counts)])
    return RecordIndex(tuple(files), first, np.concatenate(offsets), image_shape)


def check_shards(files: Sequence[str], image_shape: Sequence[int], num_classes: int) -> None:
    """Reads complete shards, one after another, to find the first damaged one.

    An error in a pipeline that reads many shards does not say in which shard it occurred.

    Args:
        files: TFRecord shards as tools/make_records writes them.
        image_shape: expected (H, W, C) of the images.
        num_classes: labels must be less than this number.

    Raises:
        DataError: a shard is damaged; names the file, what was expected and what was found.
    """
    for file in files:
        for part in read_shard(file):
            check_one_size([file], [tuple(image_shape), part.image.shape[1:]])
            _check_labels(file, part.label, num_classes)


def _check_labels(file: str, label: np.ndarray, num_classes: int) -> None:
    if num_classes == 0 and label.max() >= 0:
        raise DataError(
            f"{file}: expected {CLASS_NAMES_FILE} next to it, with one name per line: its examples "
            "have labels, and streamed records are not all read before training to count the "
            "classes"
        )
    if label.min() < -1 or label.max() >= num_classes > 0:
        raise DataError(
            f"{file}: expected labels from 0 to {num_classes - 1}, for the {num_classes} names in "
            f"{CLASS_NAMES_FILE}, or -1 for no class, found {label.min()} to {label.max()}"
        )


def _record_offsets(file: str) -> np.ndarray:
    """Returns where each record of a shard begins, int64, from the length before each record."""
    size = os.path.getsize(file)
    offsets = array.array("q")
    offset = 0
    with open(file, "rb", buffering=0) as shard:
        while offset < size:
            offsets.append(offset)
            shard.seek(offset)
            length = shard.read(_LENGTH_BYTES)
            offset += FRAME_BYTES + int.from_bytes(length, "little")
    if offset != size:
        # The lengths exceed the file. Reading it raises an error that says what is wrong.
        for _ in read_shard(file):
            pass
        raise DataError(
            f"{file}: expected a complete TFRecord file as tools/make_records writes it, found one "
            "that changes while it is read"
        )
    return np.frombuffer(offsets, np.int64)
