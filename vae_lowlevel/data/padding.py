"""Images padded with zeros to a size that networks halve well."""

from __future__ import annotations

import numpy as np

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples


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
