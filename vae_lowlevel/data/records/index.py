"""Where each record of some shards begins, found without reading the records."""

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
    no_records,
    read_shard,
)
from vae_lowlevel.errors import DataError

_LENGTH_BYTES = 8


class RecordIndex(NamedTuple):
    """The records of some shards, numbered through in the order of the shards.

    Attributes:
        files: the shards.
        first: int64 [F + 1], the number of each shard's first record; last, how many there are.
        offset: int64 [N], where each record begins in its shard, in bytes.
        image_shape: (H, W, C) of the first record's image.
    """

    files: tuple[str, ...]
    first: np.ndarray
    offset: np.ndarray
    image_shape: tuple[int, int, int]

    def __len__(self) -> int:
        """Returns how many records there are."""
        return int(self.first[-1])

    def files_of(self, numbers: np.ndarray) -> np.ndarray:
        """Returns the shard of each record, int64, an index into `files`."""
        return np.searchsorted(self.first, numbers, side="right") - 1


def index_records(files: Sequence[str]) -> RecordIndex:
    """Finds the records of some shards: one small read for each, and the first one's image.

    Args:
        files: TFRecord shards as tools/make_records writes them.

    Raises:
        DataError: a shard is cut off or no TFRecord file, or there is no record. Damage within
            records is found when they are read.
    """
    offsets = [_record_offsets(file) for file in files]
    counts = [len(own) for own in offsets]
    if not sum(counts):
        raise no_records(files)
    with_records = files[int(np.argmax(np.array(counts) > 0))]
    image_shape = next(read_shard(with_records)).image.shape[1:]
    first = np.concatenate([[0], np.cumsum(counts)])
    return RecordIndex(tuple(files), first, np.concatenate(offsets), image_shape)


def raise_damage(files: Sequence[str], image_shape: Sequence[int], num_classes: int) -> None:
    """Reads whole shards, one after another, and raises what is wrong with the first damaged one.

    What fails in a pipeline of many shards does not say in which of them. Returns if all are whole.

    Args:
        files: TFRecord shards as tools/make_records writes them.
        image_shape: (H, W, C) of the images they should hold.
        num_classes: the labels they should hold are below it.

    Raises:
        DataError: names the file, what was expected of it and what was found.
    """
    for file in files:
        for part in read_shard(file):
            check_one_size([file], [tuple(image_shape), part.image.shape[1:]])
            _check_labels(file, part.label, num_classes)


def _check_labels(file: str, label: np.ndarray, num_classes: int) -> None:
    if num_classes == 0 and label.max() >= 0:
        raise DataError(
            f"{file}: expected {CLASS_NAMES_FILE} beside it, one name a line: its examples have "
            "labels, and not all are read before training to count the classes"
        )
    if label.min() < -1 or label.max() >= num_classes > 0:
        raise DataError(
            f"{file}: expected labels from 0 to {num_classes - 1}, for the {num_classes} names in "
            f"{CLASS_NAMES_FILE}, or -1, found {label.min()} to {label.max()}"
        )


def _record_offsets(file: str) -> np.ndarray:
    """Returns where each record of a shard begins, int64, from the lengths before them."""
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
        # The lengths lead past the end. Reading it says what is wrong.
        for _ in read_shard(file):
            pass
        raise DataError(
            f"{file}: expected a whole TFRecord file as tools/make_records writes it, found one "
            "that changes while it is read"
        )
    return np.frombuffer(offsets, np.int64)
