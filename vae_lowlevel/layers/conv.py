"""Convolution, transposed convolution, and up-sampling followed by a convolution."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.bias import add_bias
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
        dtype: dtype of the computation; the variables are float32.
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
        x = add_bias(x, self.bias)
        return x if self.activation is None else self.activation(x)


class Conv2DTranspose(tf.Module):
    """Computes activation(conv_transpose(x, kernel) + bias) with SAME padding.

    It is the gradient of `Conv2D` with respect to its input, so it enlarges the image by `stride`.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        kernel_size: height and width of the kernel.
        stride: factor on height and width.
        seed: int32 [2], for the initial kernel.
        activation: applied to the output; None for none.
        dtype: dtype of the computation; the variables are float32.
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
            # [height, width, out, in], as TensorFlow's transposed convolution requires.
            kernel = glorot_uniform([kernel_size, kernel_size, out_channels, in_channels], seed)
            self.kernel = tf.Variable(kernel, name="kernel")
            self.bias = tf.Variable(tf.zeros([out_channels]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, in] to `dtype` [B, H * stride, W * stride, out]."""
        x = conv2d_transpose(tf.cast(x, self.dtype), tf.cast(self.kernel, self.dtype), self.stride)
        x = add_bias(x, self.bias)
        return x if self.activation is None else self.activation(x)


def conv2d_transpose(x: tf.Tensor, kernel: tf.Tensor, stride: int) -> tf.Tensor:
    """Computes a transposed convolution with SAME padding; B may be unknown.

    Args:
        x: floats [B, H, W, in].
        kernel: [height, width, out, in], of the dtype of x.
        stride: factor on height and width.

    Returns:
        [B, H * stride, W * stride, out], of the dtype of x.
    """
    batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
    shape = [batch, x.shape[1] * stride, x.shape[2] * stride, kernel.shape[2]]
    return tf.nn.conv2d_transpose(x, kernel, shape, stride, "SAME")


class UpsampleConv2D(tf.Module):
    """Computes conv(upsample(x), kernel) + bias, where upsample repeats each pixel 2 x 2 times.

    The convolution is 3 x 3 with SAME padding. Both steps are computed as one transposed
    convolution of stride 2. Its 4 x 4 kernel is the sum of four shifted copies of the flipped
    3 x 3 kernel, one per repeated pixel: 16 products per pixel of the input instead of 36, and the
    repeated image is never made.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        seed: int32 [2], for the initial kernel.
        dtype: dtype of the computation; the variables are float32.
        name: a Python identifier.

    References:
        Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016 (why this leaves
        fewer artefacts than `Conv2DTranspose`).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        *,
        seed: tf.Tensor,
        dtype: tf.DType = tf.float32,
        name: str = "upsample_conv",
    ) -> None:
        super().__init__(name=name)
        self.dtype = dtype
        with self.name_scope:
            kernel = glorot_uniform([3, 3, in_channels, out_channels], seed)
            self.kernel = tf.Variable(kernel, name="kernel")
            self.bias = tf.Variable(tf.zeros([out_channels]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, H, W, in] to `dtype` [B, 2 H, 2 W, out]."""
        kernel = tf.transpose(self.kernel, [0, 1, 3, 2])
        # Along each axis: flips the kernel and adds the copy that is shifted by one pixel.
        for axis in (0, 1):
            first, middle, last = tf.split(kernel, 3, axis)
            kernel = tf.concat([last, last + middle, middle + first, first], axis)
        x = conv2d_transpose(tf.cast(x, self.dtype), tf.cast(kernel, self.dtype), 2)
        return add_bias(x, self.bias)
