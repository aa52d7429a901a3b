"""Reads the images a user gives in a file, and pads images with zeros."""

from __future__ import annotations

import os
import zipfile

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Examples

IMAGE_SUFFIXES = (".npy", ".npz", ".png")


def read_images(path: str) -> np.ndarray:
    """Reads images from a file, as they are.

    Args:
        path: `.npy`; `.npz` with one array, or with one named `image`; or `.png`, one image.

    Returns:
        The array; of a PNG file uint8 [1, H, W, C] with the file's own channels.

    Raises:
        DataError: the file is missing, damaged or of another kind.
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in IMAGE_SUFFIXES:
        raise DataError(f"{path}: expected a file ending in {', '.join(IMAGE_SUFFIXES)}")
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    try:
        if suffix == ".png":
            return tf.io.decode_png(tf.io.read_file(path)).numpy()[None]
        loaded = np.load(path)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, tf.errors.OpError) as error:
        raise DataError(f"{path}: not a readable {suffix} file: {error}") from error
    return loaded if suffix == ".npy" else _only_array(loaded, path)


def _only_array(archive: np.lib.npyio.NpzFile, path: str) -> np.ndarray:
    with archive:
        names = archive.files
        if len(names) != 1 and "image" not in names:
            raise DataError(f"{path}: expected one array, or one named image, found {names}")
        return archive["image" if "image" in names else names[0]]


def margins(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Returns the zeros before and after each axis of an image [H, W, C].

    Where the rows or columns to add are odd, one more is below or right.

    Raises:
        ConfigError: the image is larger than `size`.
    """
    if max(height, width) > size:
        raise ConfigError(
            f"--pad_to={size} must be at least the size of the images, found {height} x {width}; "
            "give a larger one, or leave it out"
        )
    above, left = (size - height) // 2, (size - width) // 2
    return [(above, size - height - above), (left, size - width - left), (0, 0)]


def pad_images(examples: Examples, size: int) -> Examples:
    """Surrounds images with zeros, as `margins` says.

    Args:
        examples: image uint8 [N, H, W, C].
        size: height and width S of the result.

    Returns:
        The examples with image uint8 [N, S, S, C].

    Raises:
        ConfigError: an image is larger than `size`.
    """
    _, height, width, _ = examples.image.shape
    image = np.pad(examples.image, [(0, 0), *margins(height, width, size)])
    return Examples(image, examples.label, examples.factors)
