"""The gated dense layer."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.randomness import fold


class GatedLinear(tf.Module):
    """Computes activation(x @ V + b) * sigmoid(x @ G + c).

    Args:
        in_features: size of the last axis of the input.
        out_features: size of the last axis of the output.
        seed: int32 [2], for the initial kernels.
        activation: applied to the value, not to the gate; None for none.
        dtype: format of the computation; the variables are float32.
        name: a Python identifier.

    References:
        Dauphin, Fan, Auli, Grangier, "Language Modeling with Gated Convolutional Networks", 2017,
        eq. 1, without activation.
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
