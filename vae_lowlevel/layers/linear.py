"""Dense layers: plain, gated and masked."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.bias import add_bias
from vae_lowlevel.layers.initializers import glorot_uniform
from vae_lowlevel.randomness import fold


class Linear(tf.Module):
    """Computes activation(x @ kernel + bias).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the output.
        seed: int32 [2], for the initial kernel.
        activation: applied to the output; None for none.
        dtype: dtype of the computation; the variables are float32.
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
        x = add_bias(x, self.bias)
        return x if self.activation is None else self.activation(x)


class GatedLinear(tf.Module):
    """Computes activation(x @ V + b) * sigmoid(x @ G + c).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the output.
        seed: int32 [2], for the initial kernels.
        activation: applied to the first factor, not to the gate; None for none.
        dtype: dtype of the computation; the variables are float32.
        name: a Python identifier.

    References:
        Dauphin, Fan, Auli, Grangier, "Language Modeling with Gated Convolutional Networks", 2017,
        eq. 1 (without an activation).
        Tomczak, Welling, "VAE with a VampPrior", 2018, sec. 4.2.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        seed: tf.Tensor,
        activation: Activation | None = None,
        dtype: tf.DType = tf.float32,
        name: str = "gated_linear",
    ) -> None:
        super().__init__(name=name)
        self.dtype = dtype
        with self.name_scope:
            self.value = Linear(
                in_features,
                out_features,
                activation=activation,
                dtype=dtype,
                seed=fold(seed, "value"),
                name="value",
            )
            self.gate = Linear(
                in_features,
                out_features,
                activation=tf.math.sigmoid,
                dtype=dtype,
                seed=fold(seed, "gate"),
                name="gate",
            )

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps [B, in_features] to `dtype` [B, out_features]."""
        return self.value(x) * self.gate(x)


class MaskedLinear(tf.Module):
    """Computes activation(x @ (kernel * mask) + bias).

    Args:
        mask: [in_features, out_features] of 0 and 1; a 0 removes the connection.
        seed: int32 [2], for the initial kernel.
        activation: applied to the output; None for none.
        name: a Python identifier.

    References:
        Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015, eq. 8.
    """

    def __init__(
        self,
        mask: np.ndarray,
        *,
        seed: tf.Tensor,
        activation: Activation | None = None,
        name: str = "masked_linear",
    ) -> None:
        super().__init__(name=name)
        self.mask = np.asarray(mask, np.float32)
        self.activation = activation
        with self.name_scope:
            self.kernel = tf.Variable(glorot_uniform(self.mask.shape, seed), name="kernel")
            self.bias = tf.Variable(tf.zeros([self.mask.shape[1]]), name="bias")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps float32 [..., in_features] to float32 [..., out_features]."""
        x = tf.linalg.matmul(x, self.kernel * self.mask) + self.bias
        return x if self.activation is None else self.activation(x)
