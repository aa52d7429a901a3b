"""Inputs to try every signature of an export with."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

Inputs = dict[str, np.ndarray]

ROWS = 2


def make_example_inputs(serving_model: Any) -> dict[str, Inputs]:
    """Returns two rows of each input of each signature.

    Pictures are drawn by the model itself, where it can, in 256 levels, so that as a PNG they are
    the same.

    Args:
        serving_model: a `ServingModel`.
    """
    specs = {name: function.input_signature for name, function in serving_model.signatures.items()}
    pixels = _draw_pixels(serving_model)
    image = pixels.astype(np.float32) / np.float32(255.0)
    known = {
        "image": image,
        "image_a": image,
        "image_b": image[::-1],
        "z": np.linspace(-1.0, 1.0, ROWS * serving_model.model.latent_dim, dtype=np.float32),
        "seed": np.array([3, 4], np.int64),
        "temperature": np.array([0.5, 1.0], np.float32),
        "label": np.zeros([ROWS], np.int32),
    }
    known["z"] = known["z"].reshape(ROWS, -1)
    if any(spec.name == "image_bytes" for inputs in specs.values() for spec in inputs):
        pictures = [tf.io.encode_png(picture).numpy() for picture in pixels]
        known["image_bytes"] = np.array(pictures, object)
    return {
        name: {spec.name: known[spec.name] for spec in inputs} for name, inputs in specs.items()
    }


def _draw_pixels(serving_model: Any) -> np.ndarray:
    """Returns uint8 [2, H, W, C]."""
    z = tf.random.stateless_normal([ROWS, serving_model.model.latent_dim], [3, 4])
    model = serving_model.model.given(tf.zeros([ROWS], tf.int32))
    drawn = model.decode(z).mean().numpy()
    return np.round(np.clip(drawn, 0.0, 1.0) * 255.0).astype(np.uint8)
