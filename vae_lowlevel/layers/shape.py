"""Layers without variables that change the shape of images or features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf


class Reshape(tf.Module):
    """Reshapes every example to `shape`; `[-1]` flattens it."""

    def __init__(self, shape: Sequence[int], *, name: str = "reshape") -> None:
        super().__init__(name=name)
        self.shape = tuple(shape)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, ...] to [B, *shape]."""
        if self.shape == (-1,):
            # tf.reshape to [B, -1] would lose the static size.
            return tf.reshape(x, [-1, math.prod(x.shape[1:])])
        return tf.reshape(x, [-1, *self.shape])


class Crop(tf.Module):
    """Keeps the upper left `height` x `width` pixels of an image."""

    def __init__(self, height: int, width: int, *, name: str = "crop") -> None:
        super().__init__(name=name)
        self.height = height
        self.width = width

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to [B, height, width, C]."""
        return x[:, : self.height, : self.width, :]


class Pad(tf.Module):
    """Adds zeros below and to the right, up to `height` x `width`; `Crop` removes them."""

    def __init__(self, height: int, width: int, *, name: str = "pad") -> None:
        super().__init__(name=name)
        self.height = height
        self.width = width

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to [B, height, width, C]."""
        below, right = self.height - x.shape[1], self.width - x.shape[2]
        return tf.pad(x, [[0, 0], [0, below], [0, right], [0, 0]])


class GlobalAveragePool(tf.Module):
    """Averages each channel over height and width, in float32.

    References:
        Lin, Chen, Yan, "Network In Network", 2014, sec. 3.2.
    """

    def __init__(self, *, name: str = "global_average_pool") -> None:
        super().__init__(name=name)

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to float32 [B, C]."""
        return tf.reduce_mean(tf.cast(x, tf.float32), [1, 2])
