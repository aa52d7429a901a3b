"""Config -> data set: reads or draws the examples and holds some of them out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.config.fields import quote
from vae_lowlevel.data import shapes
from vae_lowlevel.data.batching import permutation
from vae_lowlevel.data.folder import load_folder
from vae_lowlevel.data.images import binarize, pad_images
from vae_lowlevel.data.labels import count_classes
from vae_lowlevel.data.npz import load_npz
from vae_lowlevel.data.published import PUBLISHED, load_published
from vae_lowlevel.data.records.dataset import is_streamed, load_streamed
from vae_lowlevel.data.records.shards import load_records
from vae_lowlevel.data.splits import split_test, split_validation, validation_size
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset, Examples, is_vector_shape, to_unit


def load_dataset(config: DataConfig) -> Dataset:
    """Loads the data set that a config names and splits it three ways.

    If the data have no test split, a tenth of the examples are held out for it. Which examples are
    held out for test and validation depends only on the size of the data set, so all runs are
    comparable, and a smaller validation split is a subset of a larger one. Those of image folders
    are shuffled, the same way each time; other sources keep their order.

    Images of one grey row are stored as vectors are, as floats in [0, 1]. With `binarize`, pixels
    become black or white as `images.binarize` says. With `anomaly_class`, the images of that class
    are removed from the training and validation splits; all others are the same as without it.

    Example:
        >>> dataset = load_dataset(DataConfig(dataset="shapes", image_size=8, shapes_examples=60))
        >>> dataset.train.image.shape, len(dataset.validation), len(dataset.test)
        ((54, 8, 8, 1), 6, 10)

    Returns:
        The data set. `train` is a `RecordStream` if the records are larger than `resident_bytes`:
        then only the examples held out are read into memory. They are the same ones.

    Raises:
        ConfigError: `validation_size` leaves nothing to train on, `pad_to` is too small,
            `binarize` or `anomaly_class` is not possible for a stream, there is no such class, or
            the images are larger than memory.
        DataError: files are missing, damaged or not those of the data set, or labels without names
            make too many classes.
    """
    is_stream = is_streamed(config)
    if is_stream and config.anomaly_class is not None:
        raise ConfigError(
            f"--anomaly_class={config.anomaly_class} removes training images by their labels, "
            "which needs them in memory: set --resident_bytes to at least the size of the shards, "
            "and leave --tf_data_service out"
        )
    dataset = load_streamed(config) if is_stream else _load_resident(config)
    dataset = binarize(dataset, config.binarize)
    # After the pixels are drawn, so that each image has the same ones in any order.
    if config.dataset.startswith("folder:"):
        dataset = _shuffle_held_out(dataset)
    # Last, so that no other image is drawn or split in another way than without this setting.
    if config.anomaly_class is not None:
        dataset = _remove_class(dataset, config.anomaly_class)
    return _store_rows_as_floats(dataset)


def find_class(name: str, class_names: Sequence[str]) -> int:
    """Returns the number of the class that `--anomaly_class` names.

    Args:
        name: a class name, or the number of a class.
        class_names: of the data set, in the order of the labels.

    Example:
        >>> find_class("square", ["ellipse", "square"]), find_class("0", ["ellipse", "square"])
        (1, 0)

    Raises:
        ConfigError: there is no such class.
    """
    if name in class_names:
        return list(class_names).index(name)
    if name.isascii() and name.isdigit() and len(name) < 10 and int(name) < len(class_names):
        return int(name)
    if not class_names:
        raise ConfigError(f"--anomaly_class={name} needs labels, but the data set has none")
    raise ConfigError(
        f"--anomaly_class must be one of {', '.join(class_names)}, or its number from 0 to "
        f"{len(class_names) - 1}, got {quote(name)}"
    )


def _shuffle_held_out(dataset: Dataset) -> Dataset:
    """Shuffles validation and test split, which are class by class in a folder.

    Else the first images, those of figures and of `--examples`, would be of one class.
    """
    shuffled = {
        name: split[permutation(len(split), "folder")]
        for name, split in (("validation", dataset.validation), ("test", dataset.test))
    }
    return dataclasses.replace(dataset, **shuffled)


def _remove_class(dataset: Dataset, name: str) -> Dataset:
    """Removes the images of a class from the training and validation splits."""
    number = find_class(name, dataset.class_names)
    train = dataset.train[dataset.train.label != number]
    validation = dataset.validation[dataset.validation.label != number]
    if not len(train):
        raise ConfigError(
            f"--anomaly_class={name} removes all {len(dataset.train)} training images; name "
            "another class"
        )
    return dataclasses.replace(dataset, train=train, validation=validation)


def _load_resident(config: DataConfig) -> Dataset:
    """Loads all splits into memory."""
    train, test, class_names, factor_names = _read(config)
    validation_count = validation_size(len(train), config.validation_size)
    if test is None:
        kept, held_out = split_test(len(train))
        train, test = train[kept], train[held_out]
    has_grey_levels = train.image.dtype == np.uint8
    if not has_grey_levels:
        _refuse_settings_of_images(config)
    if config.pad_to is not None:
        train, test = pad_images(train, config.pad_to), pad_images(test, config.pad_to)
    kept, held_out = split_validation(len(train), validation_count)
    train, validation = train[kept], train[held_out]
    if not class_names:
        try:
            classes = count_classes([split.label for split in (train, validation, test)])
        except ValueError as error:
            raise DataError(f"--dataset={config.dataset}: {error}") from error
        class_names = tuple(map(str, range(classes)))
    return Dataset(train, validation, test, class_names, factor_names, has_grey_levels)


def _refuse_settings_of_images(config: DataConfig) -> None:
    for name, value, unset in (
        ("pad_to", config.pad_to, None),
        ("binarize", config.binarize, "none"),
    ):
        if value != unset:
            raise ConfigError(f"--{name}={value} is for images, but the data are vectors")


def _store_rows_as_floats(dataset: Dataset) -> Dataset:
    """Returns images of one grey row in the format of vectors; see `types.stored_spec`."""
    if not is_vector_shape(dataset.image_shape):
        return dataset
    splits = {name: getattr(dataset, name) for name in ("train", "validation", "test")}
    stored = {
        name: dataclasses.replace(split, image=to_unit(split.image).numpy())
        for name, split in splits.items()
        if isinstance(split, Examples)
    }
    return dataclasses.replace(dataset, **stored)


class _Source(NamedTuple):
    """What a source has: a training split and perhaps more."""

    train: Examples
    test: Examples | None
    class_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()


def _read(config: DataConfig) -> _Source:
    kind, _, path = config.dataset.partition(":")
    if kind == "folder":
        return _Source(*load_folder(path, config.image_size))
    if kind == "npz":
        return _Source(*load_npz(path))
    if kind == "records":
        return _Source(*load_records(path))
    if kind == "shapes":
        splits = shapes.load_shapes(config.shapes_examples, config.image_size)
        return _Source(*splits, shapes.CLASS_NAMES, shapes.FACTOR_NAMES)
    published = PUBLISHED[kind]
    return _Source(*load_published(published, config.data_dir), published.class_names)
