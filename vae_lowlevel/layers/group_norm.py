"""Group normalisation."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation

EPSILON = 1e-5


class GroupNorm(tf.Module):
    """Computes activation(scale * (x - mean) / sqrt(variance + 1e-5) + offset) of an image.

    Mean and variance are those of one example's H x W x (C / groups) values, in float32. No example
    sees another one's, so the result is the same for every batch size and number of replicas, in
    training and in evaluation.

    Args:
        channels: C of the input.
        groups: into how many groups of neighbours the channels are divided; a divisor of C. One
            group makes it layer normalisation.
        activation: applied to the output; None for none.
        dtype: format of the output; the variables are float32.
        name: a Python identifier.

    References:
        Wu, He, "Group Normalization", 2018, eq. 1, 2 and 7.
        Ba, Kiros, Hinton, "Layer Normalization", 2016, eq. 3.
    """

    def __init__(
        self,
        channels: int,
        *,
        groups: int,
        activation: Activation | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "group_norm",
    ) -> None:
        super().__init__(name=name)
        if groups < 1 or channels % groups:
            raise ValueError(f"groups must divide the {channels} channels, got {groups}")
        self.groups = groups
        self.activation = activation
        self.dtype = dtype
        with self.name_scope:
            self.scale = tf.Variable(tf.ones([channels]), name="scale")
            self.offset = tf.Variable(tf.zeros([channels]), name="offset")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to `dtype` [B, H, W, C]."""
        _, height, width, channels = x.shape
        grouped = tf.cast(x, tf.float32)
        grouped = tf.reshape(grouped, [-1, height, width, self.groups, channels // self.groups])
        mean, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
        grouped = (grouped - mean) * tf.math.rsqrt(variance + EPSILON)
        x = tf.reshape(grouped, [-1, height, width, channels]) * self.scale + self.offset
        x = tf.cast(x, self.dtype)
        return x if self.activation is None else self.activation(x)
