"""Group and layer normalisation, with the activation that follows."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.layers.activations import Activate, Activation

# Keeps the result finite where a group is constant; Wu and He's value.
EPSILON = 1e-5


class GroupNorm(tf.Module):
    """Computes activation(scale * (x - mean) / sqrt(variance + 1e-5) + offset) of an image.

    Mean and variance are those of the H x W x (C / groups) values of one group of one example, in
    float32. Examples do not see each other, so the result is the same for every batch size and
    number of replicas, in training and in evaluation.

    Args:
        channels: C of the input.
        groups: number of groups of neighbouring channels; a divisor of C. One group makes it layer
            normalisation.
        activation: applied to the output; None for none.
        dtype: dtype of the output; the variables are float32.
        name: a Python identifier.

    Raises:
        ValueError: `groups` does not divide the channels.

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
        scale, offset = tf.identity(self.scale), tf.identity(self.offset)
        x = group_normalize(tf.cast(x, tf.float32), scale, offset, self.groups)
        return tf.cast(x if self.activation is None else self.activation(x), self.dtype)


def group_normalize(x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor, groups: int) -> tf.Tensor:
    """Normalises each group of channels of each example, then scales and shifts each channel.

    The gradient is written by hand, because on a CPU the time is that of the passes over the image.
    Both directions compute with x - mean: the shorter x * slope + (offset - mean * slope) loses
    digits, and its gradient more, where the mean is much larger than the deviation.

    Args:
        x: float32 [B, H, W, C].
        scale: float32 [C].
        offset: float32 [C].
        groups: a divisor of C.

    Returns:
        float32 [B, H, W, C].
    """
    _, height, width, channels = x.shape
    pixels = height * width
    group_size = channels // groups

    def image_means(values: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to [B, 1, 1, C]."""
        return tf.reduce_mean(values, [1, 2], keepdims=True)

    def group_means(values: tf.Tensor) -> tf.Tensor:
        """Replaces each channel of [B, 1, 1, C] by the mean of its group."""
        means = tf.reshape(values, [-1, groups, group_size, 1])
        means = tf.tile(tf.reduce_mean(means, 2, keepdims=True), [1, 1, group_size, 1])
        return tf.reshape(means, [-1, 1, 1, channels])

    @tf.custom_gradient
    def compute(
        x: tf.Tensor, scale: tf.Tensor, offset: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        centered = x - group_means(image_means(x))
        variance = group_means(image_means(tf.math.square(centered)))
        precision = tf.math.rsqrt(variance + EPSILON)
        slope = precision * scale

        def gradient(dy: tf.Tensor) -> tuple[tf.Tensor, ...]:
            # dx = precision * (g - mean(g) - normal * mean(g * normal)), where g = scale * dy and
            # normal = centered * precision.
            mean_dy = image_means(dy)
            mean_dy_normal = image_means(dy * centered) * precision
            centered_slope = -group_means(mean_dy_normal * scale) * tf.math.square(precision)
            level = -group_means(mean_dy * scale) * precision
            dx = dy * slope + (centered * centered_slope + level)
            dscale = pixels * tf.reduce_sum(mean_dy_normal, [0, 1, 2])
            doffset = pixels * tf.reduce_sum(mean_dy, [0, 1, 2])
            return dx, dscale, doffset

        return centered * slope + offset, gradient

    return compute(x, scale, offset)


def build_normalization(
    kind: str, channels: int, *, activation: Activation, dtype: tf.DType, name: str
) -> GroupNorm | Activate:
    """Builds a normalisation followed by an activation.

    There is no batch normalisation: its statistics would be those of one replica's rows, so the
    number of replicas would change the result of training.

    Args:
        kind: "group" (with `default_groups`), "layer" (one group: all H x W x C values of an
            example) or "none" (the activation alone).
        channels: C of the input.
        activation: applied to the normalised values.
        dtype: dtype of the output.
        name: a Python identifier.

    Raises:
        ValueError: there is no such kind.
    """
    if kind == "none":
        return Activate(activation, name=name)
    if kind not in ("group", "layer"):
        raise ValueError(f"kind must be one of group, layer, none, got {kind!r}")
    groups = default_groups(channels) if kind == "group" else 1
    return GroupNorm(channels, groups=groups, activation=activation, dtype=dtype, name=name)


MOST_GROUPS = 8
FEWEST_CHANNELS = 4  # per group, so that a feature map of one pixel still has a variance


def default_groups(channels: int) -> int:
    """Returns the most groups, up to 8, that divide the channels into at least 4 each; else 1."""
    allowed = [
        groups
        for groups in range(1, MOST_GROUPS + 1)
        if channels % groups == 0 and channels // groups >= FEWEST_CHANNELS
    ]
    return max(allowed, default=1)
