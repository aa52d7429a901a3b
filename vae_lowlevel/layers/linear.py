"""The dense layer."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.initializers import glorot_uniform


class Linear(tf.Module):
    """Computes activation(x @ kernel + bias).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the output.
        seed: int32 [2], for the initial kernel.
        activation: applied to the output; None for none.
        dtype: format of the computation; the variables are float32.
        name: a Python identifier.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        seed: tf.Tensor,
        activation: Activation | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "linear",
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.dtype = dtype
        with self.name_scope:
            kernel = glorot_uniform([in_features, out_features], seed)
            self.kernel = tf.Variable(kernel, name="kernel")
            self.bias = tf.Variable(tf.zeros([out_features]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, in_features] to `dtype` [B, out_features]."""
        x = tf.linalg.matmul(tf.cast(x, self.dtype), tf.cast(self.kernel, self.dtype))
        x = tf.nn.bias_add(x, tf.cast(self.bias, self.dtype))
        return x if self.activation is None else self.activation(x)
