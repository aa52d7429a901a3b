"""The network of an affine coupling layer."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.networks.mlp import dense_stack
from vae_lowlevel.randomness import fold

# The last kernel starts at this part of its size, so that the flow starts near the identity.
HEAD_SCALE = 0.1


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
