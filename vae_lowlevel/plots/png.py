"""Pictures as the content of PNG files."""

from __future__ import annotations

import io

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure


def encode_png(image: np.ndarray) -> bytes:
    """Returns the PNG file of an image uint8 [H, W, 1 or 3]."""
    return tf.io.encode_png(image).numpy()


def render_png(figure: Figure) -> bytes:
    """Returns the PNG file of a matplotlib figure."""
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
