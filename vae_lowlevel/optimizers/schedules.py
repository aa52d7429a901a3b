"""Learning-rate schedules: step -> rate."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def constant(peak: float) -> Schedule:
    """Returns `peak` at every step."""
    return lambda step: tf.constant(peak, tf.float32)


def cosine(peak: float, total_steps: int, final_fraction: float) -> Schedule:
    """Falls along a half cosine from `peak` at step 0 to `final_fraction` x `peak` at the end.

    References:
        Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, eq. 5.
    """

    def schedule(step: tf.Tensor) -> tf.Tensor:
        progress = tf.math.minimum(1.0, tf.cast(step, tf.float32) / total_steps)
        height = 0.5 * (1.0 + tf.math.cos(math.pi * progress))
        return peak * (final_fraction + (1.0 - final_fraction) * height)

    return schedule


def exponential(peak: float, decay: float, decay_steps: float) -> Schedule:
    """Falls by the factor `decay` every `decay_steps`, smoothly."""
    return lambda step: peak * tf.math.pow(decay, tf.cast(step, tf.float32) / decay_steps)


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Multiplies by (step + 1) / warmup_steps until that reaches 1.

    The schedule itself counts from step 0, so it is already under way when the warm-up ends.
    """
    if not warmup_steps:
        return schedule
    return lambda step: (
        schedule(step) * tf.math.minimum(1.0, (tf.cast(step, tf.float32) + 1.0) / warmup_steps)
    )
