"""Dynamic loss scaling, for gradients in float16."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

INITIAL_SCALE = 2.0**15
LARGEST_SCALE = 2.0**24


class LossScale(tf.Module):
    """The factor on the loss that keeps small gradients from vanishing in float16.

    After a step whose gradients are not finite, which is skipped, the scale is halved, to at least
    1. After `growth_steps` good steps in a row it is doubled, to at most 2^24. It is always a power
    of two, so scaling does not round.

    Args:
        growth_steps: good steps before the scale is doubled.

    Attributes:
        scale: float32 scalar variable.
        good_steps: int64 scalar variable, good steps since the scale last changed.

    References:
        Micikevicius et al., "Mixed Precision Training", 2018, sec. 3.2.
    """

    def __init__(self, growth_steps: int) -> None:
        super().__init__(name="loss_scale")
        self.growth_steps = growth_steps
        with self.name_scope:
            self.scale = tf.Variable(INITIAL_SCALE, trainable=False, name="scale")
            self.good_steps = tf.Variable(0, dtype=tf.int64, trainable=False, name="good_steps")

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the scaled loss, which is differentiated."""
        return self.scale * loss

    def unscale(self, gradients: Sequence[tf.Tensor]) -> list[tf.Tensor]:
        """Returns the gradients of the unscaled loss, float32."""
        return [gradient / self.scale for gradient in gradients]

    def update(self, is_finite: tf.Tensor) -> None:
        """Changes the scale after a step, if necessary.

        Args:
            is_finite: bool scalar, whether the gradients of all replicas were finite.
        """
        good_steps = tf.where(is_finite, self.good_steps + 1, 0)
        is_due = good_steps >= self.growth_steps
        grown = tf.where(is_due, tf.math.minimum(2.0 * self.scale, LARGEST_SCALE), self.scale)
        halved = tf.math.maximum(0.5 * self.scale, 1.0)
        self.scale.assign(tf.where(is_finite, grown, halved))
        self.good_steps.assign(tf.where(is_due, tf.zeros_like(good_steps), good_steps))
