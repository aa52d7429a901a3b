"""Convolutional encoder and decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel.layers.activations import Activation
from vae_lowlevel.layers.conv import Conv2D, Conv2DTranspose
from vae_lowlevel.layers.linear import Linear
from vae_lowlevel.layers.sequential import Sequential
from vae_lowlevel.layers.shape import Crop, Reshape
from vae_lowlevel.networks.mlp import dense_stack
from vae_lowlevel.randomness import fold


def conv_encoder(
    *,
    image_shape: Sequence[int],
    out_features: int,
    filters: Sequence[int],
    strides: Sequence[int],
    units: Sequence[int],
    kernel_size: int,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> Sequential:
    """Builds an encoder: image [B, H, W, C] -> float32 [B, out_features].

    H and W are arbitrary: a convolution rounds the strided size up.

    Args:
        image_shape: (H, W, C).
        out_features: number of posterior parameters.
        filters: output channels of each convolution.
        strides: stride of each convolution.
        units: sizes of the dense layers after the convolutions; may be empty.
        kernel_size: height and width of every kernel.
        activation: of the hidden layers.
        dtype: dtype of the hidden layers; the last layer is float32.
        seed: int32 [2], for the initial weights.
    """
    height, width, channels = image_shape
    layers = []
    for index, (out_channels, stride) in enumerate(zip(filters, strides, strict=True)):
        name = f"conv_{index}"
        layers.append(
            Conv2D(
                channels,
                out_channels,
                kernel_size=kernel_size,
                stride=stride,
                activation=activation,
                dtype=dtype,
                seed=fold(seed, name),
                name=name,
            )
        )
        height, width = math.ceil(height / stride), math.ceil(width / stride)
        channels = out_channels
    features = height * width * channels
    dense = dense_stack(features, units, activation=activation, dtype=dtype, seed=seed)
    features = units[-1] if units else features
    head = Linear(features, out_features, seed=fold(seed, "head"), name="head")
    return Sequential([*layers, Reshape([-1], name="flatten"), *dense, head], name="encoder")


def conv_decoder(
    *,
    image_shape: Sequence[int],
    in_features: int,
    units: Sequence[int],
    filters: Sequence[int],
    strides: Sequence[int],
    kernel_size: int,
    activation: Activation,
    dtype: tf.DType,
    seed: tf.Tensor,
) -> Sequential:
    """Builds a decoder: z [B, in_features] -> `dtype` [B, *image_shape].

    A dense layer makes a feature map of `filters[0]` channels, transposed convolutions enlarge it,
    and a last convolution computes the likelihood's parameters. Where the strides do not divide the
    image size, the feature map is rounded up and the image is cropped at the end.

    Args:
        image_shape: (H, W, likelihood parameters per pixel).
        in_features: size of z.
        units: sizes of the dense layers before the feature map; may be empty.
        filters: channels of the first feature map, then of each transposed convolution.
        strides: stride of each transposed convolution.
        kernel_size: height and width of every kernel.
        activation: of the hidden layers.
        dtype: dtype of the layers.
        seed: int32 [2], for the initial weights.
    """
    height, width, out_channels = image_shape
    factor = math.prod(strides)
    base_height, base_width = math.ceil(height / factor), math.ceil(width / factor)
    map_units = base_height * base_width * filters[0]
    layers = [
        *dense_stack(
            in_features, [*units, map_units], activation=activation, dtype=dtype, seed=seed
        ),
        Reshape([base_height, base_width, filters[0]]),
    ]
    for index, stride in enumerate(strides):
        name = f"conv_transpose_{index}"
        layers.append(
            Conv2DTranspose(
                filters[index],
                filters[index + 1],
                kernel_size=kernel_size,
                stride=stride,
                activation=activation,
                dtype=dtype,
                seed=fold(seed, name),
                name=name,
            )
        )
    layers.append(
        Conv2D(
            filters[-1],
            out_channels,
            kernel_size=kernel_size,
            dtype=dtype,
            seed=fold(seed, "head"),
            name="head",
        )
    )
    if (base_height * factor, base_width * factor) != (height, width):
        layers.append(Crop(height, width))
    return Sequential(layers, name="decoder")
