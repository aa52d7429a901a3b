"""Schedules of the KL weight: step -> weight."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Schedule = Callable[[tf.Tensor], tf.Tensor]


def constant(weight: float) -> Schedule:
    """Returns the weight at every step."""
    return lambda step: tf.constant(weight, tf.float32)


def linear(weight: float, warmup_steps: float) -> Schedule:
    """Rises linearly from 0 at step 0 to `weight` at `warmup_steps`, then stays.

    References:
        Bowman et al., "Generating Sentences from a Continuous Space", 2016, sec. 3.1.
    """
    return lambda step: weight * tf.math.minimum(1.0, tf.cast(step, tf.float32) / warmup_steps)


def cyclical(weight: float, cycle_steps: float, ramp_fraction: float) -> Schedule:
    """Repeats every `cycle_steps`: rises linearly over `ramp_fraction` of them, then stays.

    References:
        Fu et al., "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing",
        2019, eq. 6.
    """

    def schedule(step: tf.Tensor) -> tf.Tensor:
        position = tf.math.floormod(tf.cast(step, tf.float32), cycle_steps) / cycle_steps
        return weight * tf.math.minimum(1.0, position / ramp_fraction)

    return schedule
