"""Writes the latent explorer: one HTML file that decodes in the browser, with nothing to load."""

from __future__ import annotations

import base64
import dataclasses
import html
import json
from typing import Any

import numpy as np

from vae_lowlevel.pages.template import fill, read_part

# What a page can draw: grey or RGB.
CHANNELS = (1, 3)
# What runs programs, and what shows the results; in the order in which they need each other.
INTERPRETER = ("products.js", "graph.js")
SCRIPTS = (*INTERPRETER, "plane.js", "sliders.js", "explorer.js")


@dataclasses.dataclass(frozen=True)
class Posteriors:
    """q(z|x) of M images.

    Attributes:
        scale: standard deviations, float32 [M, D], or lower-triangular scales L of the covariances
            L L^T, float32 [M, D, D]; None where q(z|x) is no Gaussian.
        draws: float32 [M, S, D] in place of `scale`.
    """

    scale: np.ndarray | None = None
    draws: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Prior:
    """p(z).

    Attributes:
        loc: means, float32 [D], and
        scale: standard deviations, float32 [D], of a diagonal Gaussian; None for another prior.
        draws: float32 [K, D] in place of both.
    """

    loc: np.ndarray | None = None
    scale: np.ndarray | None = None
    draws: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Unit:
    """One dimension of z.

    Attributes:
        number: in [0, D).
        value: how much it is used, in the unit of `ExplorerData.unit_measure`.
        low: where its slider begins.
        high: where its slider ends.
        histogram: numbers of test images in equal intervals from `low` to `high`.
        is_active: whether it is used.
    """

    number: int
    value: float
    low: float
    high: float
    histogram: tuple[int, ...]
    is_active: bool


@dataclasses.dataclass(frozen=True)
class ExplorerData:
    """What the page shows.

    Attributes:
        title: name of the run.
        description: of the model, one line.
        program: of the decoder; see `decoder_graph`.
        is_conditional: whether the decoder needs a label.
        class_names: one name per class; empty where the data have no classes.
        images: test images to choose from, uint8 [M, H, W, C].
        image_labels: int [M], -1 for an unknown class.
        image_z: the z that represents each image, float32 [M, D].
        posteriors: of the images; None for a model without q(z|x).
        prior: None for a model without p(z).
        points: the z of N test images, float32 [N, 2]; None unless D = 2.
        point_labels: int [N]; None unless D = 2.
        units: the dimensions, in the order in which their sliders are shown.
        unit_measure: what `Unit.value` is.
    """

    title: str
    description: str
    program: dict[str, Any]
    is_conditional: bool
    class_names: tuple[str, ...]
    images: np.ndarray
    image_labels: np.ndarray
    image_z: np.ndarray
    posteriors: Posteriors | None
    prior: Prior | None
    points: np.ndarray | None
    point_labels: np.ndarray | None
    units: tuple[Unit, ...]
    unit_measure: str


def explorer_page(data: ExplorerData) -> str:
    """Returns the page, an HTML document without references to other files."""
    # In a script, "<" could only begin a tag; JSON has another way to write it.
    content = json.dumps(_to_json(data), allow_nan=False).replace("<", "\\u003c")
    parts = {
        "title": html.escape(data.title),
        "style": read_part("explorer.css"),
        "data": content,
        "script": "\n".join(map(read_part, SCRIPTS)),
    }
    return fill("explorer.html", parts)


def _to_json(value: Any) -> Any:
    """Returns a value with its arrays as {shape, type, data}, data in base64, little-endian."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: _to_json(getattr(value, field.name)) for field in fields}
    if isinstance(value, tuple):
        return [_to_json(entry) for entry in value]
    if not isinstance(value, np.ndarray):
        return value
    kind = {"u": "uint8", "i": "int32", "f": "float32"}[value.dtype.kind]
    stored = value.astype(np.dtype(kind).newbyteorder("<"))
    encoded = base64.b64encode(stored.tobytes()).decode()
    return {"shape": list(value.shape), "type": kind, "data": encoded}
