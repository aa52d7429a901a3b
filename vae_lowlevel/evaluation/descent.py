"""Minimises a loss of each image over parameters of its own, by Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

# Falling linearly to 0: n steps move a parameter by up to n / 2 times this.
_LEARNING_RATE = 0.1
_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


def minimize(
    loss: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], start: tf.Tensor, steps: int
) -> tf.Tensor:
    """Returns the parameters after some steps of Adam.

    Args:
        loss: (parameters [B, P], number of the step int32) -> [B]. The loss of an image depends
            on its own parameters only.
        start: float32 [B, P].
        steps: of Adam, at least 1.

    References:
        Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, algorithm 1.
    """

    def improve(step: tf.Tensor, parameters: tf.Tensor, m: tf.Tensor, v: tf.Tensor) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            value = loss(parameters, step)
        gradient = tape.gradient(value, parameters)
        m = _BETA1 * m + (1.0 - _BETA1) * gradient
        v = _BETA2 * v + (1.0 - _BETA2) * tf.math.square(gradient)
        done = tf.cast(step, tf.float32)
        mean, power = m / (1.0 - _BETA1 ** (done + 1.0)), v / (1.0 - _BETA2 ** (done + 1.0))
        rate = _LEARNING_RATE * (1.0 - done / steps)
        parameters -= rate * mean / (tf.math.sqrt(power) + _EPSILON)
        return step + 1, parameters, m, v

    zeros = tf.zeros_like(start)
    _, best, _, _ = tf.while_loop(
        lambda step, *_: step < steps,
        improve,
        (tf.constant(0), start, zeros, zeros),
        maximum_iterations=steps,
        parallel_iterations=1,
    )
    return best
