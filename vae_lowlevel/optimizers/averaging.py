"""Exponential moving averages of a model's weights."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.types import Model


class AveragedModel(tf.Module):
    """A second model whose variables are moving averages of those of the trained one.

    average <- average - (1 - decay_t) (average - variable),  decay_t = min(decay, (1 + t)/(10 + t))

    with t the number of updates: at the start the average is over few steps, so that the initial
    weights are soon forgotten. The averages form a model, which is evaluated and saved like one.

    Args:
        model: built like the trained one; its variables become the averages.
        decay: in (0, 1).

    References:
        Polyak, Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
        Tan, Le, "EfficientNet", 2019, sec. 5.2 (weights averaged for evaluation, decay 0.9999).
    """

    def __init__(self, model: Model, decay: float) -> None:
        super().__init__(name="averaged_model")
        self.model = model
        self.decay = decay

    def start(self, model: Model) -> None:
        """Sets the averages to the weights of the trained model."""
        for average, variable in zip(self.model.variables, model.variables, strict=True):
            average.assign(variable)

    def update(self, model: Model, updates: tf.Tensor, is_finite: tf.Tensor) -> None:
        """Updates the averages; changes nothing where `is_finite` is false.

        Args:
            model: the trained model, after its update.
            updates: int64 scalar, number of updates so far, with this one.
            is_finite: bool scalar, whether this step changed the weights.
        """
        t = tf.cast(updates, tf.float32)
        decay = tf.math.minimum(self.decay, (1.0 + t) / (10.0 + t))
        rate = tf.where(is_finite, 1.0 - decay, 0.0)
        for average, variable in zip(self.model.variables, model.variables, strict=True):
            average.assign_sub(rate * (average - variable))
