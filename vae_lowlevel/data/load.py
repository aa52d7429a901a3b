"""Config -> data set: reads or draws it and holds out the validation examples."""

from __future__ import annotations

import pathlib

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data import idx_datasets, shapes
from vae_lowlevel.data.cifar10 import CLASS_NAMES as CIFAR10_CLASSES
from vae_lowlevel.data.cifar10 import load_cifar10
from vae_lowlevel.data.download import read_content, sha256_of
from vae_lowlevel.data.folder import load_folder
from vae_lowlevel.data.idx import parse_idx
from vae_lowlevel.data.idx_files import locate
from vae_lowlevel.data.images import pad_images
from vae_lowlevel.data.npz import load_npz
from vae_lowlevel.data.records.files import load_records
from vae_lowlevel.data.records.split import is_streamed, load_streamed
from vae_lowlevel.data.splits import binarize, split_test, split_validation
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Dataset, Examples

# The data are the same for every run, whatever its --seed.
_TRAIN_SEED, _TEST_SEED = 0, 1


def load_dataset(config: DataConfig) -> Dataset:
    """Loads the data set that a config names, split three ways.

    Data without a test split have a tenth of them held out for it. Which examples are held out
    for it and for validation depends on the data set's size alone, so that all
    runs compare; a smaller validation set is a part of a larger one.

    Records beyond `resident_bytes` are not read but for what is held out: `train` is a
    `RecordStream`. What is held out is the same.

    With `binarize`, images are drawn black and white as `binarization.binarize` says.

    Files are checked against their published SHA-256 each time. For Fashion-MNIST this takes
    0.03 s, next to 0.3 s of decompression.

    Raises:
        ConfigError: `validation_size` leaves nothing to train on, or `binarize` is not for a
            stream.
        DataError: files are missing, damaged or not those of the data set.
    """
    if is_streamed(config):
        return binarize(load_streamed(config), config.binarize)
    train, test, class_names, factor_names = _read(config)
    if test is None:
        kept, held_out = split_test(len(train))
        train, test = train[kept], train[held_out]
    if config.pad_to is not None:
        train, test = pad_images(train, config.pad_to), pad_images(test, config.pad_to)
    kept, held_out = split_validation(len(train), config.validation_size)
    train, validation = train[kept], train[held_out]
    class_names = class_names or _number_classes(train, validation, test)
    dataset = Dataset(train, validation, test, class_names, factor_names)
    return binarize(dataset, config.binarize)


def _number_classes(*splits: Examples) -> tuple[str, ...]:
    """Names the classes of data that have labels but no names: by their numbers."""
    return tuple(map(str, range(1 + max(split.label.max(initial=-1) for split in splits))))


def _read(
    config: DataConfig,
) -> tuple[Examples, Examples | None, tuple[str, ...], tuple[str, ...]]:
    """Returns training split, test split if there is one, class names and factor names."""
    kind, _, path = config.dataset.partition(":")
    if kind == "shapes":
        return (*_draw_shapes(config), shapes.CLASS_NAMES, shapes.FACTOR_NAMES)
    if kind == "cifar10":
        return (*load_cifar10(config.data_dir), CIFAR10_CLASSES, ())
    if kind == "folder":
        return (*load_folder(path, config.image_size), ())
    if kind == "npz":
        return (*load_npz(path), (), ())
    if kind == "records":
        return (*load_records(path), ())
    published = idx_datasets.IDX_DATASETS[kind]
    return (*_read_idx_dataset(published, config.data_dir), published.class_names, ())


def _draw_shapes(config: DataConfig) -> tuple[Examples, Examples]:
    train = shapes.draw_shapes(config.shapes_examples, config.image_size, _TRAIN_SEED)
    test_examples = max(1, config.shapes_examples // 6)
    return train, shapes.draw_shapes(test_examples, config.image_size, _TEST_SEED)


def _read_idx_dataset(
    published: idx_datasets.IdxDataset, data_dir: str | None
) -> tuple[Examples, Examples]:
    files = locate(published, data_dir)
    arrays = {name: _read_checked(path, published, name) for name, path in files.items()}
    return (
        _examples(arrays[idx_datasets.TRAIN_IMAGES], arrays[idx_datasets.TRAIN_LABELS]),
        _examples(arrays[idx_datasets.TEST_IMAGES], arrays[idx_datasets.TEST_LABELS]),
    )


def _read_checked(path: pathlib.Path, published: idx_datasets.IdxDataset, name: str) -> np.ndarray:
    """Reads an IDX file if its sum is the published one."""
    content = read_content(path)
    found, wanted = sha256_of(content), published.sums[name]
    if found != wanted:
        raise DataError(
            f"{path}: expected {name} of {published.name} with SHA-256 {wanted} (decompressed), "
            f"found {found}; replace the file, or delete it if it was downloaded"
        )
    return parse_idx(content, path)


def _examples(image: np.ndarray, label: np.ndarray) -> Examples:
    return Examples(image[..., None], label.astype(np.int32))
