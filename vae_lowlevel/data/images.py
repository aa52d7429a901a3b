"""Images: read from a user's file, padded with zeros, made black and white."""

from __future__ import annotations

import dataclasses
import os

import numpy as np
import tensorflow as tf

from vae_lowlevel.data.arrays import check_fits_memory, read_npy, read_npz
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset, Examples

IMAGE_SUFFIXES = (".npy", ".npz", ".png")
# Images binarized at a time. The result does not depend on it.
CHUNK = 1000
# Of a PNG or JPEG image: 128 megapixels, up to 1 GB when decoded. A file of some kilobytes can
# claim more than any memory holds.
MOST_PIXELS = 2**27
_MOST_FILE_BYTES = 8 * MOST_PIXELS  # uncompressed, four channels of 16 bits

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8\xff"
# Markers of JPEG that begin a frame, and those without a length.
_JPEG_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_JPEG_ALONE = {0x01, *range(0xD0, 0xD9)}


def read_images(path: str) -> np.ndarray:
    """Reads images from a file, unchanged.

    Args:
        path: `.npy`; `.npz` with one array, or with one named `image`; or `.png`, one image.

    Returns:
        The array. For a PNG file: uint8 [1, H, W, C] with the channels of the file.

    Raises:
        DataError: the file is missing, damaged, too large or of another format.
    """
    suffix = os.path.splitext(path)[1]
    if suffix not in IMAGE_SUFFIXES:
        raise DataError(f"{path}: expected a file ending in {', '.join(IMAGE_SUFFIXES)}")
    if not os.path.isfile(path):
        raise DataError(f"{path}: no such file")
    if suffix == ".npy":
        return read_npy(path)
    if suffix == ".png":
        return read_picture(path)[None]
    arrays, names = read_npz(path, ("image",), only=True)
    if not arrays:
        raise DataError(f"{path}: expected one array, or one named image, found {list(names)}")
    return next(iter(arrays.values()))


def read_picture(path: str | os.PathLike) -> np.ndarray:
    """Reads a PNG or JPEG file: uint8 [H, W, C] with the channels of the file.

    Raises:
        DataError: the file cannot be read, is damaged or not of these formats, or has more than
            `MOST_PIXELS` pixels.
    """
    try:
        if (size := os.path.getsize(path)) > _MOST_FILE_BYTES:
            raise ValueError(f"{size} bytes, more than {_MOST_FILE_BYTES}")
        with open(path, "rb") as file:
            content = file.read(size)
        height, width = _picture_size(content)
        if height * width > MOST_PIXELS:
            raise ValueError(f"{height} x {width} pixels, more than {MOST_PIXELS} in all")
        return tf.io.decode_image(content, expand_animations=False).numpy()
    except (OSError, ValueError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise DataError(f"{path}: expected a PNG or JPEG image, found: {reason}") from error


def _picture_size(content: bytes) -> tuple[int, int]:
    """Returns height and width as the header of a PNG or JPEG file claims them."""
    if content.startswith(_PNG) and content[12:16] == b"IHDR":
        return int.from_bytes(content[20:24], "big"), int.from_bytes(content[16:20], "big")
    if not content.startswith(_JPEG):
        raise ValueError(
            f"{len(content)} bytes that begin with {content[:8].hex(' ') or 'nothing'}"
        )
    place = 2
    while place + 9 <= len(content) and content[place] == 0xFF:
        marker = content[place + 1]
        if marker in _JPEG_FRAMES:
            size = content[place + 5 : place + 9]
            return int.from_bytes(size[:2], "big"), int.from_bytes(size[2:], "big")
        if marker == 0xFF or marker in _JPEG_ALONE:  # a byte of filling, or no length
            place += 1 if marker == 0xFF else 2
        else:
            place += 2 + int.from_bytes(content[place + 2 : place + 4], "big")
    raise ValueError(f"a JPEG file of {len(content)} bytes that does not say its size")


def pad_images(examples: Examples, size: int) -> Examples:
    """Surrounds images with zeros, as `margins` says.

    Args:
        examples: image uint8 [N, H, W, C].
        size: height and width S of the result.

    Returns:
        The examples with image uint8 [N, S, S, C].

    Raises:
        ConfigError: the images are larger than `size`, or the result is larger than memory.
    """
    count, height, width, channels = examples.image.shape
    widths = margins(height, width, size)
    try:
        check_fits_memory(count * size**2 * channels, f"{count} images of {size} x {size}")
    except ValueError as error:
        raise ConfigError(f"--pad_to={size} makes {error}") from error
    image = np.pad(examples.image, [(0, 0), *widths])
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
