"""Records that do not fit into memory: the training split stays on disk, held-out ones are read."""

from __future__ import annotations

import os

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.config.data import DEFAULT_RESIDENT_BYTES
from vae_lowlevel.data.images import pad_images
from vae_lowlevel.data.records.index import index_records
from vae_lowlevel.data.records.shards import find_shards, read_class_names, read_test_split
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.data.splits import split_test, split_validation, validation_size
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset


def is_streamed(config: DataConfig) -> bool:
    """Returns whether the training split is left on disk."""
    kind, _, pattern = config.dataset.partition(":")
    if kind != "records":
        return False
    train_files, _ = find_shards(pattern)
    size = sum(map(os.path.getsize, train_files))
    return config.tf_data_service is not None or size > config.resident_bytes


def load_streamed(config: DataConfig) -> Dataset:
    """Finds the records of the training split and reads what is held out of it, or the test shards.

    Held out are the examples that reading everything into memory holds out.

    Raises:
        ConfigError: `validation_size` leaves nothing to train on; `binarize` is static, which
            draws a whole split; `pad_to` is too small.
        DataError: a file is damaged, what is held out is too large for memory, or labels have no
            class names.
    """
    if config.binarize == "static":
        raise ConfigError(
            "--binarize=static draws all training images once and for all, which needs them in "
            "memory: take --binarize=dynamic, or a --resident_bytes above the size of the shards"
        )
    _, _, pattern = config.dataset.partition(":")
    train_files, test_files = find_shards(pattern)
    index = index_records(train_files)
    kept, tested = np.arange(len(index), dtype=np.int32), None
    if not test_files:
        kept, tested = split_test(len(index))
    rows, validated = split_validation(
        len(kept), validation_size(len(index), config.validation_size)
    )
    names = read_class_names(train_files)
    stream = RecordStream(
        index,
        kept[rows],
        shuffle_buffer=config.shuffle_buffer,
        pad_to=config.pad_to,
        num_classes=len(names),
    )
    test_bytes = sum(map(os.path.getsize, test_files))
    held_out = len(validated) + (0 if tested is None else len(tested))
    _check_held_out(held_out * int(np.prod(stream.image_shape)) + test_bytes, config)
    if tested is not None:
        test = stream.read(tested)
    else:
        test = read_test_split(test_files, index.image_shape)
        test = test if config.pad_to is None else pad_images(test, config.pad_to)
    return Dataset(stream, stream.read(kept[validated]), test, names)


def _check_held_out(size: int, config: DataConfig) -> None:
    """Refuses validation and test splits of more bytes than memory is meant to hold."""
    bound = max(config.resident_bytes, DEFAULT_RESIDENT_BYTES)
    if size > bound:
        raise DataError(
            f"--dataset={config.dataset}: expected validation and test splits of at most {bound} "
            f"bytes together, for they are held in memory, found {size}; give test shards, which "
            "then stand for the tenth that is held out, a smaller --validation_size or a larger "
            "--resident_bytes"
        )
