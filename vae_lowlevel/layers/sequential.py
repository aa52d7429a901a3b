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
        batch_parts: number of parts, whose sizes differ by at most one row, in which the layers
            process a batch of known size. TensorFlow runs operations that do not depend on each
            other at the same time, so that each part can keep a core busy.
    """

    def __init__(
        self, layers: Sequence[Callable[[tf.Tensor], tf.Tensor]], *, name: str = "sequential"
    ) -> None:
        super().__init__(name=name)
        self.layers = list(layers)
        self.batch_parts = 1

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps the input of the first layer to the output of the last."""
        rows = x.shape[0] or 1
        parts = min(self.batch_parts, rows)
        if parts == 1:
            return self._apply(x)
        sizes = [rows // parts + (part < rows % parts) for part in range(parts)]
        return tf.concat([self._apply(part) for part in tf.split(x, sizes)], 0)

    def _apply(self, x: tf.Tensor) -> tf.Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
