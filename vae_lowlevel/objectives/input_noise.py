"""Transforms (batch, noise) -> batch: images corrupted for the encoder, or drawn black and white.

Training and evaluation apply them to a batch before the objective sees it.
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.types import Batch, Transform

# One purpose for all kinds of corruption: a run uses one of them.
_PURPOSE = "corruption"


def compose(*transforms: Transform | None) -> Transform | None:
    """Returns the transforms applied one after another; None where there are none."""
    present = [transform for transform in transforms if transform is not None]
    if not present:
        return None

    def apply(batch: Batch, noise: BatchNoise) -> Batch:
        for transform in present:
            batch = transform(batch, noise)
        return batch

    return apply


def binarize(batch: Batch, noise: BatchNoise) -> Batch:
    """Draws each pixel: 1 with the probability of its grey level, else 0.

    Black and white pixels stay as they are, so a split that is binary already does not change.

    References:
        Salakhutdinov, Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008.
    """
    # In [0, 1), so that a white pixel is always 1.
    threshold = noise.uniform("binarization", tuple(batch.image.shape[1:]))
    return batch._replace(image=tf.cast(threshold < batch.image, tf.float32))


def build_corruption(kind: str, strength: float) -> Transform | None:
    """Builds the transform that corrupts what the encoder sees; the target stays clean.

    gaussian: adds N(0, strength^2) to every value and clips to [0, 1].
    mask: sets a pixel to 0, in all its channels, with probability `strength`.
    salt_and_pepper: sets a pixel to 0 or to 1, each with probability `strength` / 2.

    Args:
        kind: "none", "gaussian", "mask" or "salt_and_pepper".
        strength: a standard deviation in units of the [0, 1] range, or a probability.

    Returns:
        The transform; None for "none".

    References:
        Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders",
        2008, sec. 2.3.
        Vincent et al., "Stacked Denoising Autoencoders", 2010, sec. 3.3 (the kinds).
        Im et al., "Denoising Criterion for Variational Auto-Encoding Framework", 2017, eq. 6.
    """
    if kind == "none":
        return None
    corrupt = _CORRUPTIONS[kind]
    return lambda batch, noise: batch._replace(corrupted=corrupt(batch.image, noise, strength))


def _gaussian(image: tf.Tensor, noise: BatchNoise, strength: float) -> tf.Tensor:
    added = strength * noise.normal(_PURPOSE, tuple(image.shape[1:]))
    return tf.clip_by_value(image + added, 0.0, 1.0)


def _mask(image: tf.Tensor, noise: BatchNoise, strength: float) -> tf.Tensor:
    return tf.where(_pixel_uniform(image, noise) < strength, 0.0, image)


def _salt_and_pepper(image: tf.Tensor, noise: BatchNoise, strength: float) -> tf.Tensor:
    uniform = _pixel_uniform(image, noise)
    peppered = tf.where(uniform < 0.5 * strength, 0.0, image)
    return tf.where(uniform >= 1.0 - 0.5 * strength, 1.0, peppered)


def _pixel_uniform(image: tf.Tensor, noise: BatchNoise) -> tf.Tensor:
    """Draws one number per pixel, float32 [B, H, W, 1]."""
    height, width, _ = image.shape[1:]
    return noise.uniform(_PURPOSE, (height, width, 1))


_CORRUPTIONS: dict[str, Callable[[tf.Tensor, BatchNoise, float], tf.Tensor]] = {
    "gaussian": _gaussian,
    "mask": _mask,
    "salt_and_pepper": _salt_and_pepper,
}
