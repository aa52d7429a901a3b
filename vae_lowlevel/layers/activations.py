"""Activations by name."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Activation = Callable[[tf.Tensor], tf.Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "relu": tf.nn.relu,
    "gelu": tf.nn.gelu,
    "silu": tf.nn.silu,
    "elu": tf.nn.elu,
    "tanh": tf.math.tanh,
}


class Activate(tf.Module):
    """Applies an activation, as a layer of a chain."""

    def __init__(self, activation: Activation, *, name: str = "activate") -> None:
        super().__init__(name=name)
        self.activation = activation

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps any tensor to one of its shape and dtype."""
        return self.activation(x)
