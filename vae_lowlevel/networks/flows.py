"""Networks of flows: masked (MADE) and for affine couplings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.linear import Linear, MaskedLinear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.networks.mlp import dense_stack
from vae_lowlevel.randomness import fold

# The last kernels start at this part of their size, so that a flow starts near its bias.
HEAD_SCALE = 0.1


class Made(tf.Module):
    """Computes m_i and s_i from x_1 ... x_(i-1) and a context, for i = 1 ... D.

    A hidden unit of degree d sees x_1 ... x_d; degrees go round 0 ... D - 1, so that units of
    degree 0, which see the context alone, serve the first output. The context enters the first
    hidden layer. Everything is float32, as all that belongs to a distribution.

    Args:
        features: D.
        context_features: size of the context.
        units: sizes of the hidden layers, at least one; each at least D, or inputs go unused.
        activation: of the hidden layers.
        seed: int32 [2], for the initial weights.
        name: a Python identifier.

    References:
        Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", 2015, eq. 8 to 13.
    """

    def __init__(
        self,
        features: int,
        context_features: int,
        *,
        units: Sequence[int],
        activation: Activation,
        seed: tf.Tensor,
        name: str = "made",
    ) -> None:
        super().__init__(name=name)
        self.activation = activation
        self.hidden = []
        degrees = np.arange(1, features + 1)
        outputs = degrees
        with self.name_scope:
            self.context = Linear(
                context_features, units[0], seed=fold(seed, "context"), name="context"
            )
            for index, size in enumerate(units):
                layer_degrees = np.arange(size) % features
                mask = degrees[:, None] <= layer_degrees
                layer = f"masked_{index}"
                self.hidden.append(MaskedLinear(mask, seed=fold(seed, layer), name=layer))
                degrees = layer_degrees
            mask = degrees[:, None] < outputs
            self.shift = MaskedLinear(mask, seed=fold(seed, "shift"), name="shift")
            self.gate = MaskedLinear(mask, seed=fold(seed, "gate"), name="gate")
        for head in (self.shift, self.gate):
            head.kernel.assign(HEAD_SCALE * head.kernel)

    def __call__(self, x: tf.Tensor, context: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps x float32 [..., B, D] and context [B, context_features] to m and s [..., B, D]."""
        first, *rest = self.hidden
        x = self.activation(first(x) + self.context(context))
        for layer in rest:
            x = self.activation(layer(x))
        return self.shift(x), self.gate(x)


def coupling_network(
    features: int,
    *,
    units: Sequence[int],
    activation: Activation,
    seed: tf.Tensor,
    name: str = "coupling",
) -> Sequential:
    """Builds the first half of a vector -> shift and raw log-scale of its second half.

    Args:
        features: D of the vector, at least 2; the first half has D // 2 entries.
        units: sizes of the hidden layers; may be empty.
        activation: of the hidden layers.
        seed: int32 [2], for the initial weights.
        name: a Python identifier.

    Returns:
        float32 [B, D // 2] -> float32 [B, 2 (D - D // 2)].
    """
    given = features // 2
    hidden = dense_stack(given, units, activation=activation, dtype=tf.float32, seed=seed)
    last = units[-1] if units else given
    head = Linear(last, 2 * (features - given), seed=fold(seed, "head"), name="head")
    head.kernel.assign(HEAD_SCALE * head.kernel)
    return Sequential([*hidden, head], name=name)
