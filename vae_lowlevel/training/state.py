"""Everything that training changes, in one object."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.types import Model


class TrainState(tf.Module):
    """Model, optimiser and step: saved and restored together.

    Args:
        model: the model that is trained.
        optimizer: holds the moments of `trained`.
        trained: the variables that are updated; None for all trainable ones of the model.
        averaged: an `AveragedModel`, or None.
        loss_scale: a `LossScale`, or None.

    Attributes:
        step: int64 scalar, steps done.
    """

    def __init__(
        self,
        model: Model,
        optimizer: tf.Module,
        *,
        trained: Sequence[tf.Variable] | None = None,
        averaged: tf.Module | None = None,
        loss_scale: tf.Module | None = None,
    ) -> None:
        super().__init__(name="train_state")
        self.model = model
        self.optimizer = optimizer
        self.averaged = averaged
        self.loss_scale = loss_scale
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
        # Behind a function: a second path to the variables would change the checkpoint's names.
        trained = tuple(model.trainable_variables if trained is None else trained)
        self.trained_variables = lambda: trained

    @property
    def evaluated_model(self) -> Model:
        """The model that is validated, kept as the best and exported: the averaged one, if any."""
        return self.model if self.averaged is None else self.averaged.model
