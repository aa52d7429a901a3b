"""Corruptions of images: what a denoising model has to undo."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise

Corruption = Callable[[tf.Tensor, BatchNoise], tf.Tensor]

# One purpose for all kinds: only one of them is in use.
_PURPOSE = "corruption"


def build_corruption(kind: str, strength: float) -> Corruption | None:
    """Returns (image, noise) -> corrupted image, both float32 [B, H, W, C] in [0, 1].

    gaussian: adds N(0, strength^2) to every value and clips to [0, 1].
    mask: sets a pixel to 0, in all its channels, with probability `strength`.
    salt_and_pepper: sets a pixel to 0 or to 1, each with probability `strength` / 2.

    Args:
        kind: "none", "gaussian", "mask" or "salt_and_pepper".
        strength: a standard deviation in units of the [0, 1] range, or a probability.

    Returns:
        None for "none".

    References:
        Vincent et al., "Stacked Denoising Autoencoders", 2010, sec. 3.3.
    """
    if kind == "none":
        return None
    return lambda image, noise: _KINDS[kind](image, noise, strength)


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
    """Draws one number a pixel, [B, H, W, 1]."""
    height, width, _ = image.shape[1:]
    return noise.uniform(_PURPOSE, (height, width, 1))


_KINDS = {"gaussian": _gaussian, "mask": _mask, "salt_and_pepper": _salt_and_pepper}
