"""Example inputs for every signature, also as request files for curl."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import to_unit

FOLDER = "request_examples"
ROWS = 2

Inputs = dict[str, np.ndarray]

_INTRODUCTION = """# Requests for `{name}`

`*.instances.json` contains rows, each with its inputs; the response has `predictions`, one per row.
`*.inputs.json` contains columns; the response has `outputs`. In this folder, with a server that
listens for REST on port 8501:

```bash"""


def make_example_inputs(serving_model: ServingModel) -> dict[str, Inputs]:
    """Returns `ROWS` rows of each input of each signature.

    Images are decoded by the model itself and rounded to 256 levels, so that a PNG file holds
    exactly the same pixels.
    """
    model = serving_model.model
    pixels = _decode_pixels(serving_model)
    image = to_unit(pixels).numpy()
    z = np.linspace(-1.0, 1.0, ROWS * model.latent_dim, dtype=np.float32)
    values = {
        "image": image,
        "image_a": image,
        "image_b": image[::-1],
        "z": z.reshape(ROWS, -1),
        "seed": np.array([3, 4], np.int64),
        "temperature": np.array([0.5, 1.0], np.float32),
        "label": np.zeros([ROWS], np.int32),
    }
    if "encode_bytes" in serving_model.signatures:
        pictures = [tf.io.encode_png(picture).numpy() for picture in pixels]
        values["image_bytes"] = np.array(pictures, object)
    return {
        name: {spec.name: values[spec.name] for spec in function.input_signature}
        for name, function in serving_model.signatures.items()
    }


def _decode_pixels(serving_model: ServingModel) -> np.ndarray:
    """Returns uint8 [ROWS, H, W, C]."""
    z = tf.random.stateless_normal([ROWS, serving_model.model.latent_dim], [3, 4])
    model = serving_model.model.conditioned_on(tf.zeros([ROWS], tf.int32))
    image = model.decode(z).mean().numpy()
    return np.round(np.clip(image, 0.0, 1.0) * 255.0).astype(np.uint8)


def write_request_examples(folder: str, name: str, examples: dict[str, Inputs]) -> None:
    """Writes `<signature>.instances.json`, `<signature>.inputs.json` and a README of curl lines.

    Args:
        folder: the version's folder.
        name: name of the model on the server.
        examples: inputs of each signature.
    """
    folder = os.path.join(folder, FOLDER)
    os.makedirs(folder)
    lines = [_INTRODUCTION.format(name=name)]
    for signature, inputs in examples.items():
        for form, content in (("instances", to_instances(inputs)), ("inputs", to_inputs(inputs))):
            file_name = f"{signature}.{form}.json"
            request = {"signature_name": signature, form: content}
            with open(os.path.join(folder, file_name), "w", encoding="utf-8") as file:
                json.dump(request, file, allow_nan=False)
                file.write("\n")
            lines.append(f"curl -d @{file_name} http://localhost:8501/v1/models/{name}:predict")
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, "```", ""]))


def to_instances(inputs: Inputs) -> list[Any]:
    """Returns the row form: one object per row, or its bare value if there is one input."""
    rows = next(iter(inputs.values())).shape[0]
    objects = [{key: to_json(value[row]) for key, value in inputs.items()} for row in range(rows)]
    # Bytes stay in an object: TensorFlow Serving would accept a bare {"b64": ...} too, but its
    # documentation shows `{"image_bytes": {"b64": ...}}`.
    if len(inputs) > 1 or "image_bytes" in inputs:
        return objects
    return [value for row in objects for value in row.values()]


def to_inputs(inputs: Inputs) -> dict[str, Any]:
    """Returns the column form: each input by its name."""
    return {key: to_json(value) for key, value in inputs.items()}


def to_json(value: Any) -> Any:
    """Returns numbers as lists, rounded to 6 digits, and bytes as {"b64": ...}.

    Args:
        value: an array, or one element of an array of bytes.
    """
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode("ascii")}
    value = np.asarray(value)
    if value.dtype == object:
        return [to_json(element) for element in value]
    if np.issubdtype(value.dtype, np.floating):
        return np.round(value.astype(np.float64), 6).tolist()
    return value.tolist()
