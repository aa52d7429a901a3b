"""A data set of streamed records: training examples stay on disk, held-out ones are in memory."""

from __future__ import annotations

import os

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.config.data import DEFAULT_RESIDENT_BYTES
from vae_lowlevel.data.images import pad_images
from vae_lowlevel.data.records.files import find_shards, read_class_names
from vae_lowlevel.data.records.index import index_records
from vae_lowlevel.data.records.shards import read_test_split
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.data.splits import split_test, split_validation, validation_size
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset


def is_streamed(config: DataConfig) -> bool:
    """Returns whether the training split stays on disk: it is large, or a data service reads it."""
    kind, _, pattern = config.dataset.partition(":")
    if kind != "records":
        return False
    train_files, _ = find_shards(pattern)
    size = sum(map(os.path.getsize, train_files))
    return config.tf_data_service is not None or size > config.resident_bytes


def load_streamed(config: DataConfig) -> Dataset:
    """Indexes the training shards and reads the validation and test examples into memory.

    The splits are the same as when all records are read into memory.

    Returns:
        The data set; `train` is a `RecordStream`.

    Raises:
        ConfigError: `validation_size` leaves nothing to train on, `pad_to` is too small, or
            `binarize` is static, which needs all images in memory.
        DataError: a file is damaged, the examples held out are too large for memory, or there are
            labels but no class names.
    """
    if config.binarize == "static":
        raise ConfigError(
            "--binarize=static draws all training images once, which needs them in memory: set "
            "--binarize=dynamic, or --resident_bytes to at least the size of the shards"
        )
    _, _, pattern = config.dataset.partition(":")
    train_files, test_files = find_shards(pattern)
    index = index_records(train_files)
    numbers, test_numbers = np.arange(len(index), dtype=np.int32), np.empty(0, np.int32)
    if not test_files:
        numbers, test_numbers = split_test(len(index))
    size = validation_size(len(index), config.validation_size)
    train_rows, validation_rows = split_validation(len(numbers), size)
    class_names = read_class_names(train_files)
    stream = RecordStream(
        index,
        numbers[train_rows],
        shuffle_buffer=config.shuffle_buffer,
        pad_to=config.pad_to,
        num_classes=len(class_names),
    )
    record_bytes = int(np.prod(stream.image_shape))
    test_bytes = len(test_numbers) * record_bytes + sum(map(os.path.getsize, test_files))
    _check_held_out(len(validation_rows) * record_bytes + test_bytes, config)
    validation = stream.read(numbers[validation_rows])
    if test_files:
        test = read_test_split(test_files, index.image_shape, len(class_names))
        test = test if config.pad_to is None else pad_images(test, config.pad_to)
    else:
        test = stream.read(test_numbers)
    return Dataset(stream, validation, test, class_names)


def _check_held_out(size: int, config: DataConfig) -> None:
    """Refuses validation and test splits that are larger than memory is meant to hold."""
    bound = max(config.resident_bytes, DEFAULT_RESIDENT_BYTES)
    if size > bound:
        raise DataError(
            f"--dataset={config.dataset}: expected validation and test splits of at most {bound} "
            f"bytes together, because they stay in memory, found {size}; set a smaller "
            "--validation_size or a larger --resident_bytes, or provide test shards, so that no "
            "tenth is held out for test"
        )
