"""Images: read from a user's file, padded with zeros, made black and white."""

from __future__ import annotations

import dataclasses
import os
import zipfile

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset, Examples

IMAGE_SUFFIXES = (".npy", ".npz", ".png")
# Images binarized at a time. The result does not depend on it.
CHUNK = 1000


def read_images(path: str) -> np.ndarray:
    """Reads images from a file, unchanged.

    Args:
        path: `.npy`; `.npz` with one array, or with one named `image`; or `.png`, one image.

    Returns:
        The array. For a PNG file: uint8 [1, H, W, C] with the channels of the file.

    Raises:
        DataError: the file is missing, damaged or of another format.
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


def pad_images(examples: Examples, size: int) -> Examples:
    """Surrounds images with zeros, as `margins` says.

    Args:
        examples: image uint8 [N, H, W, C].
        size: height and width S of the result.

    Returns:
        The examples with image uint8 [N, S, S, C].

    Raises:
        ConfigError: the images are larger than `size`.
    """
    _, height, width, _ = examples.image.shape
    image = np.pad(examples.image, [(0, 0), *margins(height, width, size)])
    return dataclasses.replace(examples, image=image)


def margins(height: int, width: int, size: int) -> list[tuple[int, int]]:
    """Returns the number of zeros before and after each axis of an image [H, W, C].

    An odd number is divided so that one more is below or on the right.

    Raises:
        ConfigError: the image is larger than `size`.
    """
    if max(height, width) > size:
        raise ConfigError(
            f"--pad_to={size} must be at least the size of the images, found {height} x {width}; "
            "set a larger value or remove the flag"
        )
    above, left = (size - height) // 2, (size - width) // 2
    return [(above, size - height - above), (left, size - width - left), (0, 0)]


def binarize(dataset: Dataset, kind: str) -> Dataset:
    """Draws pixels black or white, white with the probability of their grey level.

    The result depends only on an example's place in its split, so all runs see the same images.

    Args:
        dataset: grey images.
        kind: "none" changes nothing; "static" draws all splits; "dynamic" draws validation and
            test, and leaves the training split grey, because training draws it at every step.
    """
    if kind == "none":
        return dataset
    drawn = {
        "validation": binarize_examples(dataset.validation, seed=1),
        "test": binarize_examples(dataset.test, seed=2),
    }
    if kind == "static":
        drawn["train"] = binarize_examples(dataset.train, seed=0)
    return dataclasses.replace(dataset, **drawn)


def binarize_examples(examples: Examples, seed: int) -> Examples:
    """Draws each pixel, uint8 0 or 255: 255 with probability pixel / 255.

    Args:
        examples: grey images.
        seed: seed of the random generator.

    References:
        Larochelle, Murray, "The Neural Autoregressive Distribution Estimator", 2011
        (one fixed draw, so that results are comparable).
    """
    random = np.random.Generator(np.random.PCG64(seed))
    image = np.empty_like(examples.image)
    for first in range(0, len(examples), CHUNK):
        rows = slice(first, first + CHUNK)
        # Uniform in [0, 255): a pixel of 255 always stays white, a pixel of 0 always black.
        threshold = 255.0 * random.random(examples.image[rows].shape, np.float32)
        image[rows] = 255 * (threshold < examples.image[rows])
    return dataclasses.replace(examples, image=image)
