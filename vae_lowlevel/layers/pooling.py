"""Global average pooling."""

from __future__ import annotations

import tensorflow as tf


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
