"""Schedules: step -> value, for the KL weight, the capacity and the learning rate.

A schedule maps an integer scalar tensor to a float32 scalar tensor. It also works inside a
`tf.function`.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def constant(value: float) -> Schedule:
    """Returns `value` at every step."""
    return lambda step: tf.constant(value, tf.float32)


def linear(final: float, warmup_steps: float) -> Schedule:
    """Rises linearly from 0 at step 0 to `final` at `warmup_steps`, then is constant.

    References:
        Bowman et al., "Generating Sentences from a Continuous Space", 2016, sec. 3.1.
    """
    return lambda step: final * tf.math.minimum(1.0, tf.cast(step, tf.float32) / warmup_steps)


def cyclical(peak: float, cycle_steps: float, ramp_fraction: float) -> Schedule:
    """Repeats every `cycle_steps`: rises linearly for `ramp_fraction` of them, then is constant.

    References:
        Fu et al., "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing",
        2019, eq. 6.
    """

    def schedule(step: tf.Tensor) -> tf.Tensor:
        position = tf.math.floormod(tf.cast(step, tf.float32), cycle_steps) / cycle_steps
        return peak * tf.math.minimum(1.0, position / ramp_fraction)

    return schedule


def cosine(peak: float, total_steps: int, final_fraction: float) -> Schedule:
    """Falls along half a cosine from `peak` at step 0 to `final_fraction` x `peak` at the end.

    References:
        Loshchilov, Hutter, "SGDR: Stochastic Gradient Descent with Warm Restarts", 2017, eq. 5.
    """

    def schedule(step: tf.Tensor) -> tf.Tensor:
        progress = tf.math.minimum(1.0, tf.cast(step, tf.float32) / total_steps)
        height = 0.5 * (1.0 + tf.math.cos(math.pi * progress))
        return peak * (final_fraction + (1.0 - final_fraction) * height)

    return schedule


def exponential(peak: float, decay: float, decay_steps: float) -> Schedule:
    """Computes peak x decay^(step / decay_steps), without stairs."""
    return lambda step: peak * tf.math.pow(decay, tf.cast(step, tf.float32) / decay_steps)


def with_warmup(schedule: Schedule, warmup_steps: int) -> Schedule:
    """Multiplies a schedule by min(1, (step + 1) / warmup_steps).

    The schedule counts from step 0 too, so its decay starts before the warm-up ends.
    """
    if not warmup_steps:
        return schedule
    return lambda step: (
        schedule(step) * tf.math.minimum(1.0, (tf.cast(step, tf.float32) + 1.0) / warmup_steps)
    )
