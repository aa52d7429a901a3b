"""Parameters and floating-point operations of a network that `cases.py` describes.

The number of parameters shows that all contenders train the same network.
"""

from __future__ import annotations

import math

from benchmarks.cases import Layer, Network


def count_parameters(layers: list[Layer]) -> int:
    """Returns the number of trained parameters."""
    total = 0
    for layer in layers:
        if "layers" in layer:
            total += count_parameters(layer["layers"])
        elif layer["kind"] == "norm":
            total += 2 * layer["channels"]
        elif layer["kind"] == "pseudo_inputs":
            total += layer["count"] * math.prod(layer["shape"])
        elif layer["kind"] in ("linear", "conv", "conv_transpose"):
            total += (layer.get("kernel", 1) ** 2 * layer["in"] + 1) * layer["out"]
    return total


def count_forward_flops(layers: list[Layer]) -> int:
    """Returns the operations of the forward pass of one image: two per multiplication.

    Counts convolutions and dense layers only, including the products with the zeros around an
    image. A convolution after up-sampling counts as the package computes it: 16 products per pixel
    of the small image instead of 9 for each of its four pixels in the large one.
    """
    total = 0
    is_upsampled = False
    for layer in layers:
        if "layers" in layer:
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


def count_training_flops(network: Network, batch_size: int = 1) -> int:
    """Returns the operations of a training step per image.

    For each layer, the backward pass needs as many operations as the forward pass for the gradient
    of the weights, and again for the gradient of the input. The first layer of the encoder does
    not need the latter for images, but for the pseudo-inputs of a VampPrior.

    Args:
        network: what `describe_network` returns.
        batch_size: images per step, which share the pseudo-inputs.
    """
    layers = [layer for part in network.values() for layer in part]
    encoder = network["encoder"]
    first = next(layer for layer in encoder if count_parameters([layer]))
    total = 3 * count_forward_flops(layers) - count_forward_flops([first])
    for layer in layers:
        if layer["kind"] == "pseudo_inputs":
            total += 3 * layer["count"] * count_forward_flops(encoder) // batch_size
            # The densities: each image's [z^2, z], 2 D numbers, times those of each component.
            total += 3 * 2 * encoder[-1]["out"] * layer["count"]
    return total
