"""What is measured: networks as plain lists of layers, which every contender builds for itself.

A layer is a dict with its `kind` and sizes. The lists are made from the same settings the package
builds its own networks from, and give the number of weights, by which the benchmark checks that all
contenders train the same network, and the floating-point operations of a training step.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from vae_lowlevel.config import Config
from vae_lowlevel.layers.normalization import count_groups

Layer = dict[str, Any]

CASES = {
    # The networks of flags/fashion_2d.cfg, of many papers on dense VAEs, and of
    # flags/fashion_resnet_small.cfg.
    "conv": {
        "network": "conv",
        "latent_dim": 2,
        "encoder_filters": (32, 64, 64, 64),
        "encoder_strides": (1, 2, 1, 1),
        "encoder_units": (32,),
        "decoder_filters": (64, 32),
        "decoder_strides": (2,),
        "likelihood": "gaussian",
        "pixel_reduction": "mean",
        "kl_weight": 0.0005,
    },
    "mlp": {
        "network": "mlp",
        "latent_dim": 40,
        "encoder_units": (300, 300),
        "decoder_units": (300, 300),
    },
    "resnet": {"network": "resnet", "variant": "small", "activation": "silu"},
}


def describe_network(config: Config, image_shape: tuple[int, int, int]) -> dict[str, list[Layer]]:
    """Returns the layers of `encoder` and `decoder`, for images [H, W, C]."""
    model = config.model
    if model.network == "mlp":
        return _mlp(model, image_shape)
    if model.network == "conv":
        return _conv(model, image_shape)
    return _resnet(model, image_shape)


def count_parameters(layers: list[Layer]) -> int:
    """Returns how many numbers the layers train."""
    total = 0
    for layer in layers:
        if layer["kind"] == "residual":
            total += count_parameters(layer["layers"])
        elif layer["kind"] == "norm":
            total += 2 * layer["channels"]
        elif layer["kind"] in ("linear", "conv", "conv_transpose"):
            total += (layer.get("kernel", 1) ** 2 * layer["in"] + 1) * layer["out"]
    return total


def count_forward_flops(layers: list[Layer]) -> int:
    """Returns the operations of one image's forward pass: two for each multiplication.

    Of convolutions and dense layers alone; the products of a convolution with the zeros around an
    image are counted. Of one after up-sampling, those that the package computes: 16 for each pixel
    of the small image in place of 9 for each of its four.
    """
    total = 0
    is_upsampled = False
    for layer in layers:
        if layer["kind"] == "residual":
            total += count_forward_flops(layer["layers"])
        elif layer["kind"] == "linear":
            total += 2 * layer["in"] * layer["out"]
        elif layer["kind"] in ("conv", "conv_transpose"):
            height, width = layer["size"]
            if layer["kind"] == "conv":
                height, width = (math.ceil(n / layer["stride"]) for n in (height, width))
            flops = 2 * height * width * layer["kernel"] ** 2 * layer["in"] * layer["out"]
            total += flops * 16 // 36 if is_upsampled else flops
        is_upsampled = layer["kind"] == "upsample"
    return total


def count_training_flops(network: dict[str, list[Layer]]) -> int:
    """Returns the operations of one image in a training step.

    The backward pass takes two products of the size of the forward pass's for each layer, for its
    weights and for its input; the first layer of the encoder needs none for its input.
    """
    encoder, decoder = network["encoder"], network["decoder"]
    first = next(layer for layer in encoder if count_parameters([layer]))
    return 3 * count_forward_flops([*encoder, *decoder]) - count_forward_flops([first])


def _linear(inputs: int, outputs: int, activation: str | None = None, full: bool = False) -> Layer:
    return {
        "kind": "linear",
        "in": inputs,
        "out": outputs,
        "activation": activation,
        "is_float32": full,
    }


def _convolution(
    kind: str,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    activation: str | None = None,
    full: bool = False,
) -> Layer:
    return {
        "kind": kind,
        "size": size,
        "in": inputs,
        "out": outputs,
        "kernel": kernel,
        "stride": stride,
        "activation": activation,
        "is_float32": full,
    }


def _dense(features: int, units: tuple[int, ...], activation: str) -> list[Layer]:
    sizes = [features, *units]
    return [_linear(a, b, activation) for a, b in itertools.pairwise(sizes)]


def _mlp(model: Any, image_shape: tuple[int, int, int]) -> dict[str, list[Layer]]:
    pixels = math.prod(image_shape)
    encoder = [{"kind": "flatten"}, *_dense(pixels, model.encoder_units, model.activation)]
    encoder.append(_linear(encoder[-1].get("out", pixels), 2 * model.latent_dim, full=True))
    decoder = _dense(model.latent_dim, model.decoder_units, model.activation)
    features = decoder[-1]["out"] if decoder else model.latent_dim
    decoder += [_linear(features, pixels, full=True), {"kind": "reshape", "shape": image_shape}]
    return {"encoder": encoder, "decoder": decoder}


def _conv(model: Any, image_shape: tuple[int, int, int]) -> dict[str, list[Layer]]:
    height, width, channels = image_shape
    total_stride = math.prod(model.decoder_strides)
    if height % total_stride or width % total_stride:
        raise ValueError(f"the images' size {height} x {width} is not divided by {total_stride}")
    encoder = []
    for filters, stride in zip(model.encoder_filters, model.encoder_strides, strict=True):
        size = height, width
        encoder.append(
            _convolution(
                "conv", size, channels, filters, model.kernel_size, stride, model.activation
            )
        )
        height, width = math.ceil(height / stride), math.ceil(width / stride)
        channels = filters
    encoder.append({"kind": "flatten"})
    features = height * width * channels
    encoder += _dense(features, model.encoder_units, model.activation)
    encoder.append(_linear([features, *model.encoder_units][-1], 2 * model.latent_dim, full=True))

    height, width = image_shape[0] // total_stride, image_shape[1] // total_stride
    filters = model.decoder_filters
    units = (*model.decoder_units, height * width * filters[0])
    decoder = _dense(model.latent_dim, units, model.activation)
    decoder.append({"kind": "reshape", "shape": (height, width, filters[0])})
    for index, stride in enumerate(model.decoder_strides):
        pair = filters[index], filters[index + 1]
        size = height, width
        decoder.append(
            _convolution("conv_transpose", size, *pair, model.kernel_size, stride, model.activation)
        )
        height, width = height * stride, width * stride
    head = _convolution("conv", (height, width), filters[-1], image_shape[2], model.kernel_size)
    return {"encoder": encoder, "decoder": [*decoder, head]}


def _norm(model: Any, channels: int) -> Layer:
    groups = count_groups(channels)
    return {
        "kind": "norm",
        "channels": channels,
        "groups": groups,
        "activation": model.activation,
    }


def _residuals(model: Any, size: tuple[int, int], channels: int, count: int) -> list[Layer]:
    half = [_norm(model, channels), _convolution("conv", size, channels, channels, 3)]
    return [{"kind": "residual", "layers": [*half, *half]}] * count


def _resnet(model: Any, image_shape: tuple[int, int, int]) -> dict[str, list[Layer]]:
    filters, blocks = model.resnet_filters, model.resnet_blocks
    levels = len(filters)
    smallest = tuple(math.ceil(size / 2**levels) for size in image_shape[:2])
    height, width = padded = tuple(size * 2**levels for size in smallest)
    channels = image_shape[2]
    encoder: list[Layer] = [{"kind": "pad", "size": padded}]
    for out, count in zip(filters, blocks, strict=True):
        encoder.append(_convolution("conv", (height, width), channels, out, 3, 2))
        height, width, channels = height // 2, width // 2, out
        encoder += _residuals(model, (height, width), channels, count)
    encoder += [_norm(model, channels), {"kind": "pool"}]
    encoder.append(_linear(channels, 2 * model.latent_dim, full=True))

    decoder = [
        _linear(model.latent_dim, math.prod(smallest) * channels),
        {"kind": "reshape", "shape": (*smallest, channels)},
    ]
    for level in reversed(range(levels)):
        height, width = height * 2, width * 2
        out = filters[max(level - 1, 0)]
        decoder += [
            {"kind": "upsample", "factor": 2},
            _convolution("conv", (height, width), channels, out, 3),
            *_residuals(model, (height, width), out, blocks[level]),
        ]
        channels = out
    decoder += [
        _norm(model, channels),
        _convolution("conv", (height, width), channels, image_shape[2], 3, full=True),
        {"kind": "crop", "size": image_shape[:2]},
    ]
    return {"encoder": encoder, "decoder": decoder}
