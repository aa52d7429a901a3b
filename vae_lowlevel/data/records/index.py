"""Finds where each record of some shards begins, without reading the records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_lowlevel.data.records.shards import (
    check_one_size,
    empty_shards_error,
    read_shard,
    record_offsets,
)


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
    offsets = [record_offsets(file) for file in files]
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
        for part in read_shard(file, num_classes):
            check_one_size([file], [tuple(image_shape), part.image.shape[1:]])
