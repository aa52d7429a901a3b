"""The table of a model's layers that a run prints at its start."""

from __future__ import annotations

import math

import tensorflow as tf

from vae_lowlevel.types import Model


def count_parameters(module: tf.Module) -> int:
    """Returns the number of trainable parameters of a module."""
    return sum(math.prod(variable.shape) for variable in module.trainable_variables)


def layer_table(model: Model) -> str:
    """Returns a table of the layers, their output shapes (B is the batch) and parameter counts.

    Parts of the model with variables other than the networks, such as a learned prior, come last.
    """
    rows = [("layer", "output shape", "parameters")]
    height, width, channels = model.image_shape
    # A label adds one channel per class to the image and one number per class to z.
    image = tf.TensorSpec([None, height, width, channels + model.num_classes], tf.float32)
    z = tf.TensorSpec([None, model.latent_dim + model.num_classes], tf.float32)
    for chain, spec in ((model.encoder, image), (model.decoder, z)):
        shapes = _output_shapes(chain, spec)
        for layer, shape in zip(chain.layers, shapes, strict=True):
            sizes = ", ".join(["B", *map(str, shape[1:])])
            rows.append(
                (f"{chain.name}/{layer.name}", f"[{sizes}]", f"{count_parameters(layer):,}")
            )
    networks = (model.encoder, model.decoder)
    for part in vars(model).values():
        if isinstance(part, tf.Module) and part not in networks and part.variables:
            rows.append((part.name, "", f"{count_parameters(part):,}"))
    rows.append(("total", "", f"{count_parameters(model):,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    rule = "-" * len(lines[0])
    return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1]])


def _output_shapes(chain: tf.Module, spec: tf.TensorSpec) -> list[tf.TensorShape]:
    """Returns the output shape of each layer, found by tracing the chain."""
    shapes = []

    @tf.function(input_signature=[spec], autograph=False)
    def trace(x: tf.Tensor) -> None:
        for layer in chain.layers:
            x = layer(x)
            shapes.append(x.shape)

    trace.get_concrete_function()
    return shapes
