"""A chain of layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf


class Sequential(tf.Module):
    """Applies layers one after another.

    Args:
        layers: from the input to the output.
        name: a Python identifier.

    Attributes:
        layers: the same, as a list.
    """

    def __init__(
        self, layers: Sequence[Callable[[tf.Tensor], tf.Tensor]], *, name: str = "sequential"
    ) -> None:
        super().__init__(name=name)
        self.layers = list(layers)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps the input of the first layer to the output of the last."""
        for layer in self.layers:
            x = layer(x)
        return x
