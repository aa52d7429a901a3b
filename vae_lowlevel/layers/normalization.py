"""Normalisation by name, with the activation that follows it."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.layers.activations import Activate, Activation
from vae_lowlevel.layers.group_norm import GroupNorm

MOST_GROUPS = 8
FEWEST_CHANNELS = 4  # in a group, so that a map of one pixel still has a variance


def count_groups(channels: int) -> int:
    """Returns the most groups, up to 8, that divide the channels into at least 4 each; else 1."""
    allowed = [
        groups
        for groups in range(1, MOST_GROUPS + 1)
        if channels % groups == 0 and channels // groups >= FEWEST_CHANNELS
    ]
    return max(allowed, default=1)


def normalization(
    kind: str, channels: int, *, activation: Activation, dtype: tf.DType, name: str
) -> tf.Module:
    """Builds a normalisation followed by an activation.

    There is no batch normalisation: its statistics would be those of a replica's share of the
    batch, so that the number of replicas would change what is learned.

    Args:
        kind: "group" (`count_groups` of them), "layer" (one group: all of an example's H x W x C
            values) or "none" (the activation alone).
        channels: C of the input.
        activation: applied to the normalised values.
        dtype: format of the output.
        name: a Python identifier.

    Raises:
        ValueError: there is no such kind.
    """
    if kind == "none":
        return Activate(activation, name=name)
    if kind not in ("group", "layer"):
        raise ValueError(f"kind must be one of group, layer, none, got {kind!r}")
    groups = count_groups(channels) if kind == "group" else 1
    return GroupNorm(channels, groups=groups, activation=activation, dtype=dtype, name=name)
