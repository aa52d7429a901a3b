"""Dense encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.linear import GatedLinear, Linear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.layers.shape import Reshape
from vae_lowlevel.randomness import fold


def dense_stack(
    in_features: int,
    units: Sequence[int],
    *,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
    gated: bool = False,
) -> list[Linear | GatedLinear]:
    """Builds one dense layer per entry of `units`, from `in_features` on.

    Args:
        in_features: size of the input.
        units: sizes of the layers; may be empty.
        activation: of every layer.
        dtype: dtype of the computation.
        seed: int32 [2], for the initial weights.
        gated: whether the layers are `GatedLinear`.
    """
    build = GatedLinear if gated else Linear
    layers = []
    for index, out_features in enumerate(units):
        name = f"dense_{index}"
        layers.append(
            build(
                in_features,
                out_features,
                activation=activation,
                dtype=dtype,
                seed=fold(seed, name),
                name=name,
            )
        )
        in_features = out_features
    return layers


def mlp_encoder(
    *,
    image_shape: Sequence[int],
    out_features: int,
    units: Sequence[int],
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
    gated: bool = False,
) -> Sequential:
    """Builds an encoder: image [B, H, W, C] -> float32 [B, out_features].

    Args:
        image_shape: (H, W, C).
        out_features: number of posterior parameters.
        units: sizes of the hidden layers; may be empty.
        activation: of the hidden layers.
        dtype: dtype of the hidden layers; the last layer is float32.
        seed: int32 [2], for the initial weights.
        gated: whether the hidden layers are `GatedLinear`.
    """
    pixels = math.prod(image_shape)
    hidden = dense_stack(pixels, units, activation=activation, dtype=dtype, seed=seed, gated=gated)
    features = units[-1] if units else pixels
    head = Linear(features, out_features, seed=fold(seed, "head"), name="head")
    return Sequential([Reshape([-1], name="flatten"), *hidden, head], name="encoder")


def mlp_decoder(
    *,
    image_shape: Sequence[int],
    in_features: int,
    units: Sequence[int],
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
    gated: bool = False,
) -> Sequential:
    """Builds a decoder: z [B, in_features] -> float32 [B, *image_shape].

    Args:
        image_shape: (H, W, likelihood parameters per pixel).
        in_features: size of z.
        units: sizes of the hidden layers; may be empty.
        activation: of the hidden layers.
        dtype: dtype of the hidden layers; the last layer is float32.
        seed: int32 [2], for the initial weights.
        gated: whether the hidden layers are `GatedLinear`.
    """
    hidden = dense_stack(
        in_features, units, activation=activation, dtype=dtype, seed=seed, gated=gated
    )
    features = units[-1] if units else in_features
    head = Linear(features, math.prod(image_shape), seed=fold(seed, "head"), name="head")
    return Sequential([*hidden, head, Reshape(image_shape)], name="decoder")
