"""The networks of the benchmark, as plain lists of layers that every contender builds by itself.

A layer is a dict with its `kind` and sizes. The lists are made from the settings from which the
package builds its own networks.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from vae_lowlevel.config import Config, ModelConfig

Layer = dict[str, Any]
Network = dict[str, list[Layer]]

# A common size in papers on dense VAEs.
MLP = {
    "network": "mlp",
    "latent_dim": 40,
    "encoder_units": (300, 300),
    "decoder_units": (300, 300),
}
CASES = {
    # flags/fashion_2d.cfg
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
    "mlp": MLP,
    # flags/fashion_resnet_small.cfg
    "resnet": {"network": "resnet", "variant": "small", "activation": "silu"},
    # As many pseudo-inputs as in flags/mnist_vamp.cfg.
    "vamp": {**MLP, "prior": "vamp", "prior_components": 500},
    "flow": {**MLP, "prior": "flow"},
    "iaf": {**MLP, "posterior": "iaf"},
}
# The cases that every framework has; they are measured by default.
COMMON_CASES = ("conv", "mlp", "resnet")


def describe_network(config: Config, image_shape: tuple[int, int, int]) -> Network:
    """Returns the layers of a model of images [H, W, C].

    Returns:
        Lists of layers: `encoder` and `decoder`; `posterior`, the steps of the flow of q(z|x);
        `prior`, the pseudo-inputs of a VampPrior or the couplings of a flow. A diagonal Gaussian
        posterior and the prior N(0, I) are empty lists. No other posterior or prior is described.
    """
    model = config.model
    describe = {"mlp": _mlp, "conv": _conv, "resnet": _resnet}[model.network]
    return {
        **describe(model, image_shape),
        "posterior": _posterior(model),
        "prior": _prior(model, image_shape),
    }


def _linear(
    inputs: int, outputs: int, activation: str | None = None, is_float32: bool = False
) -> Layer:
    return {
        "kind": "linear",
        "in": inputs,
        "out": outputs,
        "activation": activation,
        "is_float32": is_float32,
    }


def _convolution(
    kind: str,
    size: tuple[int, int],
    inputs: int,
    outputs: int,
    kernel: int,
    stride: int = 1,
    activation: str | None = None,
    is_float32: bool = False,
) -> Layer:
    return {
        "kind": kind,
        "size": size,
        "in": inputs,
        "out": outputs,
        "kernel": kernel,
        "stride": stride,
        "activation": activation,
        "is_float32": is_float32,
    }


def _dense(
    features: int, units: tuple[int, ...], activation: str, is_float32: bool = False
) -> list[Layer]:
    sizes = [features, *units]
    return [_linear(a, b, activation, is_float32) for a, b in itertools.pairwise(sizes)]


def _posterior(model: ModelConfig) -> list[Layer]:
    if model.posterior != "iaf":
        return []
    latent_dim, units = model.sizes.latent_dim, model.iaf_units
    # Context, hidden layers, shift and gate. A product with a masked kernel is a whole product.
    layers = [_linear(model.iaf_context, units[0], is_float32=True)]
    for inputs, outputs in itertools.pairwise([latent_dim, *units, latent_dim]):
        layers.append(_linear(inputs, outputs, is_float32=True))
    step = {
        "kind": "autoregressive",
        "activation": model.activation,
        "layers": [*layers, layers[-1]],
    }
    return [step] * model.iaf_steps


def _prior(model: ModelConfig, image_shape: tuple[int, int, int]) -> list[Layer]:
    if model.prior == "vamp":
        return [{"kind": "pseudo_inputs", "count": model.prior_components, "shape": image_shape}]
    if model.prior == "flow":
        latent_dim, units = model.sizes.latent_dim, model.prior_flow_units
        first = latent_dim // 2
        layers = _dense(first, units, model.activation, is_float32=True)
        layers.append(_linear([first, *units][-1], 2 * (latent_dim - first), is_float32=True))
        return [{"kind": "coupling", "layers": layers}] * model.prior_flow_steps
    return []


def _posterior_size(model: ModelConfig) -> int:
    context = model.iaf_context if model.posterior == "iaf" else 0
    return 2 * model.sizes.latent_dim + context


def _mlp(model: ModelConfig, image_shape: tuple[int, int, int]) -> Network:
    pixels, latent_dim = math.prod(image_shape), model.sizes.latent_dim
    encoder = [{"kind": "flatten"}, *_dense(pixels, model.encoder_units, model.activation)]
    features = encoder[-1].get("out", pixels)
    encoder.append(_linear(features, _posterior_size(model), is_float32=True))
    decoder = _dense(latent_dim, model.decoder_units, model.activation)
    features = decoder[-1]["out"] if decoder else latent_dim
    decoder += [
        _linear(features, pixels, is_float32=True),
        {"kind": "reshape", "shape": image_shape},
    ]
    return {"encoder": encoder, "decoder": decoder}


def _conv(model: ModelConfig, image_shape: tuple[int, int, int]) -> Network:
    height, width, channels = image_shape
    latent_dim = model.sizes.latent_dim
    total_stride = math.prod(model.decoder_strides)
    if height % total_stride or width % total_stride:
        raise ValueError(
            f"image size {height} x {width} must be a multiple of the product of decoder_strides, "
            f"{total_stride}"
        )
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
    features = [features, *model.encoder_units][-1]
    encoder.append(_linear(features, _posterior_size(model), is_float32=True))

    height, width = image_shape[0] // total_stride, image_shape[1] // total_stride
    filters = model.decoder_filters
    units = (*model.decoder_units, height * width * filters[0])
    decoder = _dense(latent_dim, units, model.activation)
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


def _norm(model: ModelConfig, channels: int) -> Layer:
    from vae_lowlevel.layers.normalization import default_groups

    return {
        "kind": "norm",
        "channels": channels,
        "groups": default_groups(channels),
        "activation": model.activation,
    }


def _residuals(model: ModelConfig, size: tuple[int, int], channels: int, count: int) -> list[Layer]:
    half = [_norm(model, channels), _convolution("conv", size, channels, channels, 3)]
    return [{"kind": "residual", "layers": [*half, *half]}] * count


def _resnet(model: ModelConfig, image_shape: tuple[int, int, int]) -> Network:
    sizes = model.sizes
    filters, blocks, latent_dim = sizes.resnet_filters, sizes.resnet_blocks, sizes.latent_dim
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
    encoder.append(_linear(channels, _posterior_size(model), is_float32=True))

    decoder = [
        _linear(latent_dim, math.prod(smallest) * channels),
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
        _convolution("conv", (height, width), channels, image_shape[2], 3, is_float32=True),
        {"kind": "crop", "size": image_shape[:2]},
    ]
    return {"encoder": encoder, "decoder": decoder}
