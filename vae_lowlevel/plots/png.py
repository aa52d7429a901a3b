"""Pictures as the content of PNG files."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


def encode_png(image: np.ndarray) -> bytes:
    """Returns the PNG file of an image uint8 [H, W, 1 or 3]."""
    return tf.io.encode_png(image).numpy()
