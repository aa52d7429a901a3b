"""Scales of a pixel's distribution, in units of the [0, 1] range: fixed, learned, or predicted.

A learned scale is exp(5 tanh(raw / 5)), between 0.0067, two of 256 grey levels, and 148: a density
has no upper bound where a pixel never varies, and would grow without end with a free scale.
"""

from __future__ import annotations

import math

import tensorflow as tf

from vae_lowlevel.distributions.bounds import inverse_soft_clip, soft_clip

LOG_SCALE_BOUND = 5.0


class FixedScale(tf.Module):
    """One scale that stays as given.

    Args:
        scale: greater than 0.

    Attributes:
        parameters_per_value: decoder channels it asks for.
        is_fixed: whether training leaves it alone.
    """

    parameters_per_value = 0
    is_fixed = True

    def __init__(self, scale: float) -> None:
        super().__init__(name="fixed_scale")
        self.scale = scale

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns the scale, float32 []; `raw` is empty."""
        del raw
        return tf.constant(self.scale, tf.float32)


class LearnedScale(tf.Module):
    """One learned scale for all pixels.

    Args:
        initial: where it starts, in (exp(-5), exp(5)).

    Attributes:
        parameters_per_value: decoder channels it asks for.
        is_fixed: whether training leaves it alone.
    """

    parameters_per_value = 0
    is_fixed = False

    def __init__(self, initial: float) -> None:
        super().__init__(name="learned_scale")
        raw = inverse_soft_clip(math.log(initial), LOG_SCALE_BOUND)
        with self.name_scope:
            self.raw_log_scale = tf.Variable(raw, dtype=tf.float32, name="raw_log_scale")

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns the scale, float32 []; `raw` is empty."""
        del raw
        return tf.math.exp(soft_clip(self.raw_log_scale, LOG_SCALE_BOUND))


class PixelScale(tf.Module):
    """A scale for each pixel and channel, which the decoder gives.

    Args:
        initial: the scale where the decoder gives 0, in (exp(-5), exp(5)).

    Attributes:
        parameters_per_value: decoder channels it asks for.
        is_fixed: whether training leaves it alone.
    """

    parameters_per_value = 1
    is_fixed = False

    def __init__(self, initial: float) -> None:
        super().__init__(name="pixel_scale")
        self._offset = inverse_soft_clip(math.log(initial), LOG_SCALE_BOUND)

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, H, W, C] to scales of that shape."""
        return tf.math.exp(soft_clip(raw + self._offset, LOG_SCALE_BOUND))
