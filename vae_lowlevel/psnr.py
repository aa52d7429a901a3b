"""The peak signal-to-noise ratio of images in [0, 1]."""

from __future__ import annotations

import tensorflow as tf

# A perfect reconstruction would have an infinite PSNR: 100 dB, at this error, is the most reported.
SMALLEST_MSE = 1e-10


def psnr(mse: tf.Tensor) -> tf.Tensor:
    """Computes -10 log10(mse), at most 100 dB, for squared errors a pixel, float32 of any shape."""
    return -10.0 * tf.math.log(tf.math.maximum(mse, SMALLEST_MSE)) / tf.math.log(10.0)
