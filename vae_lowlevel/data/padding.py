"""Images padded with zeros to a size that networks halve well."""

from __future__ import annotations

import numpy as np

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples


def pad_images(examples: Examples, size: int) -> Examples:
    """Surrounds images with zeros; where the rows or columns are odd, one more is below or right.

    Args:
        examples: image uint8 [N, H, W, C].
        size: height and width S of the result.

    Returns:
        The examples with image uint8 [N, S, S, C].

    Raises:
        ConfigError: an image is larger than `size`.
    """
    _, height, width, _ = examples.image.shape
    if max(height, width) > size:
        raise ConfigError(
            f"--pad_to={size} must be at least the size of the images, found {height} x {width}; "
            "give a larger one, or leave it out"
        )
    above, left = (size - height) // 2, (size - width) // 2
    margins = [(0, 0), (above, size - height - above), (left, size - width - left), (0, 0)]
    return Examples(np.pad(examples.image, margins), examples.label, examples.factors)
