"""The residual block."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.conv import Conv2D
from vae_lowlevel.layers.normalization import build_normalization
from vae_lowlevel.randomness import fold


class ResidualBlock(tf.Module):
    """Computes x + conv_1(act(norm_1(conv_0(act(norm_0(x)))))), with 3 x 3 convolutions.

    Normalisation and activation come before the convolutions, so the sum is passed on unchanged and
    gradients reach every block through sums alone.

    Args:
        channels: C of input and output.
        norm: "group", "layer" or "none"; see `build_normalization`.
        activation: before each convolution.
        dtype: dtype of the computation; the variables are float32.
        seed: int32 [2], for the initial kernels.
        name: a Python identifier.

    References:
        He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", 2016, fig. 1b.
    """

    def __init__(
        self,
        channels: int,
        *,
        norm: str,
        activation: Activation,
        seed: tf.Tensor,
        dtype: tf.DType = tf.float32,
        name: str = "block",
    ) -> None:
        super().__init__(name=name)
        self.dtype = dtype
        self.layers = []
        with self.name_scope:
            for index in range(2):
                self.layers += [
                    build_normalization(
                        norm, channels, activation=activation, dtype=dtype, name=f"norm_{index}"
                    ),
                    Conv2D(
                        channels,
                        channels,
                        kernel_size=3,
                        dtype=dtype,
                        seed=fold(seed, f"conv_{index}"),
                        name=f"conv_{index}",
                    ),
                ]

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, C] to `dtype` [B, H, W, C]."""
        x = tf.cast(x, self.dtype)
        residual = x
        for layer in self.layers:
            residual = layer(residual)
        return x + residual
