"""Example inputs for every signature, and requests made of them, ready for curl."""

from __future__ import annotations

import base64
import json
import os
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.types import to_unit

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
    image = to_unit(pixels).numpy()
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
    model = serving_model.model.conditioned_on(tf.zeros([ROWS], tf.int32))
    drawn = model.decode(z).mean().numpy()
    return np.round(np.clip(drawn, 0.0, 1.0) * 255.0).astype(np.uint8)


FOLDER = "request_examples"


def write_request_examples(folder: str, name: str, examples: dict[str, Inputs]) -> None:
    """Writes `<signature>.instances.json`, `<signature>.inputs.json` and a README of curl lines.

    Args:
        folder: of the version.
        name: of the model on the server.
        examples: inputs of each signature.
    """
    folder = os.path.join(folder, FOLDER)
    os.makedirs(folder)
    lines = [_INTRODUCTION.format(name=name)]
    for signature, inputs in examples.items():
        for form, content in (
            ("instances", to_instances(inputs)),
            ("inputs", to_inputs(inputs)),
        ):
            file_name = f"{signature}.{form}.json"
            request = {"signature_name": signature, form: content}
            with open(os.path.join(folder, file_name), "w", encoding="utf-8") as file:
                json.dump(request, file, allow_nan=False)
                file.write("\n")
            lines.append(f"curl -d @{file_name} http://localhost:8501/v1/models/{name}:predict")
    with open(os.path.join(folder, "README.md"), "w", encoding="utf-8") as file:
        file.write("\n".join([*lines, "```", ""]))


_INTRODUCTION = """# Requests for `{name}`

`*.instances.json` has a row of inputs after another and is answered by `predictions`, a row each;
`*.inputs.json` has the columns and is answered by `outputs`. In this folder, with a server that
listens for REST on port 8501:

```bash"""


def to_instances(inputs: Inputs) -> list[Any]:
    """Returns the row form: an object for each row, or its value alone if there is one input."""
    rows = next(iter(inputs.values())).shape[0]
    objects = [{key: to_json(value[row]) for key, value in inputs.items()} for row in range(rows)]
    if len(inputs) == 1:
        # Bare, except base64: TensorFlow Serving would take a lone {"b64": ...} for it, but
        # `{"image_bytes": {"b64": ...}}` is what its documentation shows.
        (key,) = inputs
        return objects if key.endswith("_bytes") else [row[key] for row in objects]
    return objects


def to_inputs(inputs: Inputs) -> dict[str, Any]:
    """Returns the column form: each input by its name."""
    return {key: to_json(value) for key, value in inputs.items()}


def to_json(value: Any) -> Any:
    """Returns numbers as lists, shortened to 6 digits, and bytes as TensorFlow Serving wants them.

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
