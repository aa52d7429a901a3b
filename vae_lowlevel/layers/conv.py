"""The 2-D convolution."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.initializers import glorot_uniform


class Conv2D(tf.Module):
    """Computes activation(conv(x, kernel) + bias) with SAME padding.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: height and width of the kernel.
        stride: step of the kernel along height and width.
        seed: int32 [2], for the initial kernel.
        activation: applied to the output; None for none.
        dtype: format of the computation; the variables are float32.
        name: a Python identifier.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int,
        seed: tf.Tensor,
        stride: int = 1,
        activation: Activation | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "conv",
    ) -> None:
        super().__init__(name=name)
        self.stride = stride
        self.activation = activation
        self.dtype = dtype
        with self.name_scope:
            kernel = glorot_uniform([kernel_size, kernel_size, in_channels, out_channels], seed)
            self.kernel = tf.Variable(kernel, name="kernel")
            self.bias = tf.Variable(tf.zeros([out_channels]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, in] to `dtype` [B, ceil(H / stride), ceil(W / stride), out]."""
        kernel = tf.cast(self.kernel, self.dtype)
        x = tf.nn.conv2d(tf.cast(x, self.dtype), kernel, self.stride, "SAME")
        x = tf.nn.bias_add(x, tf.cast(self.bias, self.dtype))
        return x if self.activation is None else self.activation(x)
