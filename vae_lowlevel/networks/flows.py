"""Networks of flow steps: masked (MADE) and for affine couplings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.linear import Linear, MaskedLinear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.networks.mlp import dense_stack
from vae_lowlevel.randomness import fold

# The last kernels start at this fraction of their usual size, so that a flow starts near the
# identity.
HEAD_SCALE = 0.1


class Made(tf.Module):
    """Computes m_i and s_i from x_1 ... x_(i-1) and a context, for i = 1 ... D.

    A hidden unit of degree d sees x_1 ... x_d. The degrees are 0 ... D - 1 in turn; units of
    degree 0 see only the context, and the first output depends on them alone. The context enters
    the first hidden layer. Everything is float32.

    Args:
        features: D.
        context_features: size of the context.
        units: sizes of the hidden layers, at least one; each needs D units to see all inputs.
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
        """Returns m and s, float32 [..., B, D].

        Args:
            x: float32 [..., B, D].
            context: float32 [B, context_features].
        """
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
    """Builds a network from the first half of a vector to the shift and scale of its second half.

    Args:
        features: D, at least 2; the first half of the vector has D // 2 entries.
        units: sizes of the hidden layers; may be empty.
        activation: of the hidden layers.
        seed: int32 [2], for the initial weights.
        name: a Python identifier.

    Returns:
        float32 [B, D // 2] -> shift and raw log-scale, joined, float32 [B, 2 (D - D // 2)].
    """
    first = features // 2
    # Variables of several couplings need names of their own, for --freeze and --init_from.
    with tf.name_scope(name):
        hidden = dense_stack(first, units, activation=activation, dtype=tf.float32, seed=seed)
        last = units[-1] if units else first
        head = Linear(last, 2 * (features - first), seed=fold(seed, "head"), name="head")
    head.kernel.assign(HEAD_SCALE * head.kernel)
    return Sequential([*hidden, head], name=name)
