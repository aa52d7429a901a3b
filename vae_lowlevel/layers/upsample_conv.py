"""Up-sampling and the convolution after it, in one."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.conv_transpose import conv2d_transpose
from vae_lowlevel.layers.initializers import glorot_uniform


class UpsampleConv2D(tf.Module):
    """Makes every pixel a square of 2 x 2 equal ones, then computes conv(x, kernel) + bias.

    The convolution is 3 x 3 with SAME padding. Both together are one transposed convolution of
    stride 2, whose 4 x 4 kernel is the sum of the turned one laid on each pixel of a square: 16
    products for a pixel of the small image in place of 36, and no large image of equal pixels.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output.
        seed: int32 [2], for the initial kernel.
        dtype: format of the computation; the variables are float32.
        name: a Python identifier.

    References:
        Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", 2016: why to up-sample
        and then convolve, rather than to learn the kernel of a transposed convolution.
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
        # TensorFlow's layout for the transposed kernel: [height, width, out, in].
        kernel = tf.transpose(self.kernel, [0, 1, 3, 2])
        for axis in (0, 1):
            # Turned: from the last to the first.
            first, middle, last = tf.split(kernel, 3, axis)
            kernel = tf.concat([last, last + middle, middle + first, first], axis)
        x = conv2d_transpose(tf.cast(x, self.dtype), tf.cast(kernel, self.dtype), 2)
        return tf.nn.bias_add(x, tf.cast(self.bias, self.dtype))
