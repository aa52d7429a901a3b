"""Residual encoder and its mirror, the residual decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.conv import Conv2D, UpsampleConv2D
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.layers.normalization import build_normalization
from vae_lowlevel.layers.residual_block import ResidualBlock
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.layers.shape import Crop, GlobalAveragePool, Pad, Reshape
from vae_lowlevel.randomness import fold


def resnet_encoder(
    *,
    image_shape: Sequence[int],
    out_features: int,
    filters: Sequence[int],
    blocks: Sequence[int],
    norm: str,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> Sequential:
    """Builds an encoder: image [B, H, W, C] -> float32 [B, out_features].

    Each level is a convolution of stride 2, which halves height and width, and residual blocks. At
    the end every channel is averaged over the image. A size that 2^levels does not divide is padded
    with zeros first.

    Args:
        image_shape: (H, W, C).
        out_features: number of posterior parameters.
        filters: channels of each level.
        blocks: residual blocks of each level.
        norm: "group", "layer" or "none".
        activation: of the hidden layers.
        dtype: dtype of the hidden layers; the pooling and the last layer are float32.
        seed: int32 [2], for the initial weights.

    Raises:
        ConfigError: the image is too small for the number of levels.
    """
    height, width, channels = image_shape
    padded = _padded_size(height, width, len(filters))
    layers = [] if padded == (height, width) else [Pad(*padded)]
    shared = {"norm": norm, "activation": activation, "dtype": dtype, "seed": seed}
    for level, (out_channels, count) in enumerate(zip(filters, blocks, strict=True)):
        name = f"down_{level}"
        layers.append(
            Conv2D(
                channels,
                out_channels,
                kernel_size=3,
                stride=2,
                dtype=dtype,
                seed=fold(seed, name),
                name=name,
            )
        )
        layers += _residual_blocks(level, out_channels, count, **shared)
        channels = out_channels
    return Sequential(
        [
            *layers,
            build_normalization(
                norm, channels, activation=activation, dtype=dtype, name="last_norm"
            ),
            GlobalAveragePool(),
            Linear(channels, out_features, seed=fold(seed, "head"), name="head"),
        ],
        name="encoder",
    )


def resnet_decoder(
    *,
    image_shape: Sequence[int],
    in_features: int,
    filters: Sequence[int],
    blocks: Sequence[int],
    norm: str,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> Sequential:
    """Builds the mirror of `resnet_encoder`: z [B, in_features] -> float32 [B, *image_shape].

    A dense layer makes the smallest feature map. The levels follow in the reverse order of the
    encoder's: each doubles height and width, changes the channels with a convolution, and has the
    residual blocks. A last convolution computes the likelihood's parameters. The rows and columns
    that the encoder pads are cropped.

    Args:
        image_shape: (H, W, likelihood parameters per pixel).
        in_features: size of z.
        filters: channels of each level of the encoder.
        blocks: residual blocks of each level of the encoder.
        norm: "group", "layer" or "none".
        activation: of the hidden layers.
        dtype: dtype of the hidden layers; the last convolution is float32.
        seed: int32 [2], for the initial weights.

    Raises:
        ConfigError: the image is too small for the number of levels.
    """
    height, width, out_channels = image_shape
    padded = _padded_size(height, width, len(filters))
    smallest = [size // 2 ** len(filters) for size in padded]
    channels = filters[-1]
    layers = [
        Linear(
            in_features,
            math.prod(smallest) * channels,
            dtype=dtype,
            seed=fold(seed, "dense"),
            name="dense",
        ),
        Reshape([*smallest, channels]),
    ]
    shared = {"norm": norm, "activation": activation, "dtype": dtype, "seed": seed}
    for level in reversed(range(len(filters))):
        # The input channels of this level in the encoder; its first level keeps its own.
        level_channels = filters[max(level - 1, 0)]
        name = f"up_conv_{level}"
        layers += [
            UpsampleConv2D(channels, level_channels, dtype=dtype, seed=fold(seed, name), name=name),
            *_residual_blocks(level, level_channels, blocks[level], **shared),
        ]
        channels = level_channels
    layers += [
        build_normalization(norm, channels, activation=activation, dtype=dtype, name="last_norm"),
        Conv2D(channels, out_channels, kernel_size=3, seed=fold(seed, "head"), name="head"),
    ]
    if padded != (height, width):
        layers.append(Crop(height, width))
    return Sequential(layers, name="decoder")


def _padded_size(height: int, width: int, levels: int) -> tuple[int, int]:
    """Returns height and width, rounded up to multiples of 2^levels."""
    least = 2 ** (levels - 1) + 1
    if min(height, width) < least:
        raise ConfigError(
            f"--network=resnet with {levels} levels halves the image {levels} times and needs a "
            f"height and width of at least {least}, found {height} x {width}: use fewer "
            "--resnet_filters, a smaller --variant, or --pad_to"
        )
    factor = 2**levels
    return math.ceil(height / factor) * factor, math.ceil(width / factor) * factor


def _residual_blocks(
    level: int,
    channels: int,
    count: int,
    *,
    norm: str,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> list[ResidualBlock]:
    """Builds the residual blocks of one level."""
    names = [f"level_{level}_block_{index}" for index in range(count)]
    return [
        ResidualBlock(
            channels,
            norm=norm,
            activation=activation,
            dtype=dtype,
            seed=fold(seed, name),
            name=name,
        )
        for name in names
    ]
