"""How close reconstructions are to their images."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.psnr import psnr

# Side of the Gaussian window of SSIM in the paper; smaller images take their own smaller side.
SSIM_WINDOW = 11


def image_quality(image: tf.Tensor, reconstruction: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compares images with their reconstructions.

    Args:
        image: float32 [B, H, W, C] in [0, 1].
        reconstruction: as `image`.

    Returns:
        float32 [B] each: `mse` a pixel, `psnr` = -10 log10(mse) in dB, `ssim` in [-1, 1].

    References:
        Wang et al., "Image Quality Assessment: From Error Visibility to Structural Similarity",
        2004, eq. 13.
    """
    mse = tf.reduce_mean(tf.math.squared_difference(image, reconstruction), [1, 2, 3])
    window = min(SSIM_WINDOW, *image.shape[1:3])
    ssim = tf.image.ssim(image, reconstruction, max_val=1.0, filter_size=window)
    return {"mse": mse, "psnr": psnr(mse), "ssim": ssim}
