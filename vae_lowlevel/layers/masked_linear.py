"""The dense layer with some connections cut."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.initializers import glorot_uniform


class MaskedLinear(tf.Module):
    """Computes activation(x @ (kernel * mask) + bias).

    Args:
        mask: [in_features, out_features] of 0 and 1; a 0 cuts the connection for good.
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
