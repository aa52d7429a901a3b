"""Networks of a ladder: bottom-up from the encoder's features, top-down from the levels above."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.layers.activations import Activate, Activation
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.networks.mlp import dense_stack
from vae_lowlevel.randomness import fold

# The last kernels of the top-down networks start at this fraction of their usual size, so that the
# prior starts near N(0, I).
HEAD_SCALE = 0.1


def bottom_up_networks(
    dims: Sequence[int],
    *,
    units: Sequence[int],
    activation: Activation,
    seed: tf.Tensor,
    gated: bool = False,
) -> list[Sequential]:
    """Builds one network per level above the bottom, from the lower one on.

    A level of d dimensions has: features [B, units[0]] -> [B, 2 d + units[0]], the parameters of
    the level and the features of the next; for the top level [B, 2 d]. The features are those of a
    linear layer, so the network begins with their activation: units[0] is its first hidden layer.

    Args:
        dims: dimensions of the levels, from the top one on.
        units: sizes of the hidden layers, at least one if there are two levels.
        activation: of the hidden layers.
        seed: int32 [2], for the initial weights.
        gated: whether the hidden layers after the first are `GatedLinear`.
    """
    networks = []
    for level in reversed(range(len(dims) - 1)):
        features, *rest = units
        name = f"bottom_up_{level}"
        size = 2 * dims[level] + (features if level else 0)
        level_seed = fold(seed, name)
        with tf.name_scope(name):
            hidden = dense_stack(
                features,
                rest,
                activation=activation,
                dtype=tf.float32,
                seed=level_seed,
                gated=gated,
            )
            head = Linear(units[-1], size, seed=fold(level_seed, "head"), name="head")
        networks.append(Sequential([Activate(activation), *hidden, head], name=name))
    return networks


def top_down_networks(
    dims: Sequence[int],
    *,
    units: Sequence[int],
    activation: Activation,
    seed: tf.Tensor,
    gated: bool = False,
) -> list[Sequential]:
    """Builds one network per level below the top, from the upper one on.

    A level of d dimensions has: all levels above, joined, [N, A] -> [N, 2 d], its parameters.

    Args:
        dims: dimensions of the levels, from the top one on.
        units: sizes of the hidden layers; may be empty.
        activation: of the hidden layers.
        seed: int32 [2], for the initial weights.
        gated: whether the hidden layers are `GatedLinear`.
    """
    networks = []
    for level in range(1, len(dims)):
        above = sum(dims[:level])
        last = units[-1] if units else above
        name = f"top_down_{level}"
        level_seed = fold(seed, name)
        with tf.name_scope(name):
            hidden = dense_stack(
                above, units, activation=activation, dtype=tf.float32, seed=level_seed, gated=gated
            )
            head = Linear(last, 2 * dims[level], seed=fold(level_seed, "head"), name="head")
        head.kernel.assign(HEAD_SCALE * head.kernel)
        networks.append(Sequential([*hidden, head], name=name))
    return networks
