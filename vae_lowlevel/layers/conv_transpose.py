"""The transposed 2-D convolution."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.initializers import glorot_uniform


class Conv2DTranspose(tf.Module):
    """Computes activation(conv_transpose(x, kernel) + bias) with SAME padding.

    The gradient of `Conv2D` with respect to its input, so it enlarges by `stride`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: height and width of the kernel.
        stride: factor by which height and width grow.
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
        name: str = "conv_transpose",
    ) -> None:
        super().__init__(name=name)
        self.stride = stride
        self.activation = activation
        self.dtype = dtype
        with self.name_scope:
            # TensorFlow's layout for the transposed kernel: [height, width, out, in].
            kernel = glorot_uniform([kernel_size, kernel_size, out_channels, in_channels], seed)
            self.kernel = tf.Variable(kernel, name="kernel")
            self.bias = tf.Variable(tf.zeros([out_channels]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, in] to `dtype` [B, H * stride, W * stride, out]."""
        x = conv2d_transpose(tf.cast(x, self.dtype), tf.cast(self.kernel, self.dtype), self.stride)
        x = tf.nn.bias_add(x, tf.cast(self.bias, self.dtype))
        return x if self.activation is None else self.activation(x)


def conv2d_transpose(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Maps [B, H, W, in] to [B, H * stride, W * stride, out] with SAME padding; B may be unknown.

    Args:
        x: floats.
        kernel: [height, width, out, in], of the dtype of x.
        stride: factor by which height and width grow.
    """
    batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
    shape = [batch, x.shape[1] * stride, x.shape[2] * stride, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, shape, stride, "SAME")
