"""A chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf


class Sequential(tf.Module):
    """Applies layers one after another.

    Attributes:
        layers: the layers, in order.
    """

    def __init__(
        self, layers: Sequence[Callable[[tf.Tensor], tf.Tensor]], *, name: str = "sequential"
    ) -> None:
        super().__init__(name=name)
        self.layers = list(layers)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps the first layer's input to the last layer's output."""
        for layer in self.layers:
            x = layer(x)
        return x
