"""Reads images from a NumPy archive."""

from __future__ import annotations

import os

import numpy as np

from vae_lowlevel.data.arrays import read_npz
from vae_lowlevel.data.labels import check_labels
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

KEYS = ("image", "label", "test_image", "test_label")


def load_npz(path: str) -> tuple[Examples, Examples | None]:
    """Reads the arrays `image` and, if present, `label`, `test_image` and `test_label`.

    Images are uint8 [N, H, W, C], or [N, H, W] for C = 1. Labels are integers [N], -1 for no class
    and 0 or more otherwise. Other arrays are ignored; pickled objects are refused.

    Returns:
        the training split, and the test split or None.

    Raises:
        DataError: the file is missing or damaged, or an array has another dtype or shape.
    """
    path = os.path.expanduser(path)
    if not os.path.isfile(path):
        raise DataError(f"{path}: expected a .npz file, found no such file")
    arrays, names = read_npz(path, KEYS)
    if "image" not in arrays:
        raise DataError(
            f"{path}: expected an array named image, found {', '.join(names) or 'nothing'}"
        )
    train = _examples(path, "image", "label", arrays)
    if "test_image" not in arrays:
        return train, None
    test = _examples(path, "test_image", "test_label", arrays)
    if train.image.shape[1:] != test.image.shape[1:]:
        raise DataError(
            f"{path}: expected test_image of the size of image, "
            f"{'x'.join(map(str, train.image.shape[1:]))}, found "
            f"{'x'.join(map(str, test.image.shape[1:]))}"
        )
    return train, test


def _examples(path: str, image_key: str, label_key: str, arrays: dict[str, np.ndarray]) -> Examples:
    image = arrays[image_key]
    if image.dtype != np.uint8 or image.ndim not in (3, 4) or 0 in image.shape:
        raise DataError(
            f"{path}: expected {image_key} of uint8 [N, H, W, C] or [N, H, W], no dimension 0, "
            f"found {image.dtype} {list(image.shape)}"
        )
    if image.ndim == 3:
        image = image[..., None]
    label = arrays.get(label_key, np.full(len(image), -1, np.int32))
    try:
        return Examples(image, check_labels(label, len(image)))
    except ValueError as error:
        raise DataError(f"{path}: array {label_key}: {error}") from error
