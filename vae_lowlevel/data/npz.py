"""Reads images from a NumPy archive."""

from __future__ import annotations

import os

import numpy as np

from vae_lowlevel.data.arrays import read_npz
from vae_lowlevel.data.labels import check_labels
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples, is_vector_shape

KEYS = ("image", "label", "test_image", "test_label")


def load_npz(path: str) -> tuple[Examples, Examples | None]:
    """Reads the arrays `image` and, if present, `label`, `test_image` and `test_label`.

    Images are uint8 [N, H, W, C], or [N, H, W] for C = 1. Vectors are floats in [0, 1], [N, D],
    and become `image` float32 [N, 1, D, 1]. Labels are integers [N], -1 for no class and 0 or more
    otherwise. Other arrays are ignored; pickled objects are refused.

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
    if np.issubdtype(image.dtype, np.floating):
        image = _vectors(path, image_key, image)
    elif image.dtype != np.uint8 or image.ndim not in (3, 4) or 0 in image.shape:
        raise DataError(
            f"{path}: expected {image_key} of uint8 [N, H, W, C] or [N, H, W], or vectors of "
            f"floats [N, D], no dimension 0, found {image.dtype} {list(image.shape)}"
        )
    elif image.ndim == 3:
        image = image[..., None]
    label = arrays.get(label_key, np.full(len(image), -1, np.int32))
    try:
        return Examples(image, check_labels(label, len(image)))
    except ValueError as error:
        raise DataError(f"{path}: array {label_key}: {error}") from error


def _vectors(path: str, key: str, vectors: np.ndarray) -> np.ndarray:
    """Returns float32 [N, 1, D, 1] of floats [N, D], or of an array that has this shape already."""
    is_stored = vectors.ndim == 4 and is_vector_shape(vectors.shape[1:])
    if not (vectors.ndim == 2 or is_stored) or 0 in vectors.shape:
        raise DataError(
            f"{path}: expected {key} of floats [N, D] (images are uint8 [N, H, W, C]), no "
            f"dimension 0, found {vectors.dtype} {list(vectors.shape)}"
        )
    if not np.all((vectors >= 0.0) & (vectors <= 1.0)):
        raise DataError(
            f"{path}: expected vectors {key} in [0, 1], found {vectors.min()} to {vectors.max()}; "
            "scale each column: (x - x.min(0)) / (x.max(0) - x.min(0))"
        )
    return vectors.astype(np.float32).reshape(len(vectors), 1, -1, 1)
