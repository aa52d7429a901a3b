"""Everything that training changes, in one object."""

from __future__ import annotations

import tensorflow as tf


class TrainState(tf.Module):
    """Model, optimiser and step: saved and restored together.

    Attributes:
        model: the model that is trained.
        optimizer: holds the moments of the model's trainable variables.
        step: int64 scalar, steps done.
    """

    def __init__(self, model: tf.Module, optimizer: tf.Module) -> None:
        super().__init__(name="train_state")
        self.model = model
        self.optimizer = optimizer
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False, name="step")
