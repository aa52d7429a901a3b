"""Structural similarity of images."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# Of the paper: side and standard deviation of the Gaussian window in pixels, K1 and K2.
_WINDOW, _DEVIATION = 11, 1.5
_K1, _K2 = 0.01, 0.03


def ssim(image: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Compares images by the means, variances and covariance in a window that moves over them.

    Equal to `tf.image.ssim` up to rounding. The window is a product of two Gaussians, so its sums
    are two matrix products. On a CPU this is some fifty times faster than the convolution of
    `tf.image.ssim`, which takes longer than all other measurements of a test split together.

    Args:
        image: float32 [B, H, W, C] in [0, 1]. Where H or W is less than 11, the side of the window
            is the smaller of the two.
        other: as `image`.

    Returns:
        float32 [B], in [-1, 1]: the mean over positions of the window and channels.

    References:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
        2004, eq. 13.
    """
    height, width = image.shape[1:3]
    side = min(_WINDOW, height, width)
    rows, columns = (tf.constant(_window_sums(size, side)) for size in (height, width))

    def window_mean(x: tf.Tensor) -> tf.Tensor:
        return tf.einsum("yh,bhwc,xw->byxc", rows, x, columns)

    mean, other_mean = window_mean(image), window_mean(other)
    products = 2.0 * mean * other_mean
    squares = tf.math.square(mean) + tf.math.square(other_mean)
    covariances = 2.0 * window_mean(image * other) - products
    variances = window_mean(tf.math.square(image) + tf.math.square(other)) - squares
    luminance = (products + _K1**2) / (squares + _K1**2)
    structure = (covariances + _K2**2) / (variances + _K2**2)
    return tf.reduce_mean(luminance * structure, [1, 2, 3])


def _window_sums(size: int, side: int) -> np.ndarray:
    """Returns float32 [size - side + 1, size]: the weights of each position of the window."""
    weights = np.exp(-0.5 * np.square((np.arange(side) - (side - 1) / 2) / _DEVIATION))
    weights /= weights.sum()
    sums = np.zeros([size - side + 1, size], np.float32)
    for position, row in enumerate(sums):
        row[position : position + side] = weights
    return sums
