"""Curves of a training, and several runs in the plane of rate and distortion."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.lines
import matplotlib.ticker
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vae_lowlevel.plots.style import (
    BLUE,
    CHARACTER,
    FAINT,
    LABEL,
    LINES,
    MARGIN,
    VERMILLION,
    add_axes,
    new_figure,
    pixels,
    plain_axes,
    wrap,
    write_legend,
    write_title,
)
from vae_lowlevel.types import psnr

NATS = "nats per example"
# What is drawn of a history, where it has it: name of the column -> title and unit.
CURVES = {
    "loss": ("loss", ""),
    "elbo": ("ELBO", NATS),
    "bound": ("bound", NATS),
    "distortion": ("distortion", NATS),
    "rate": ("rate", NATS),
    "reconstruction": ("reconstruction", ""),
    "penalty": ("sparsity penalty", "nats"),
    "mean_activation": ("mean activity", "part of its range"),
    "psnr": ("PSNR", "dB"),
    "kl_weight": ("KL weight", "factor, mean of the epoch"),
    "capacity": ("KL capacity", "nats, mean of the epoch"),
}
FROM_ZERO = ("kl_weight", "capacity", "mean_activation")
_COLUMNS = 3
# Sizes in pixels: of the axes, from one to the next, and above all of them.
_PANEL, _PITCH, _HEAD = (350.0, 280.0), (470.0, 400.0), 130.0
_SPLITS = {"train": (BLUE, "-", "training"), "validation": (VERMILLION, "--", "validation")}
_LEGEND_WIDTH = 340.0
_MARKERS = "osD^vP*X"
_MOST_MARKED = 40  # Epochs up to which each one has a marker.


def curve(history: Sequence[Mapping[str, Any]], split: str, name: str) -> np.ndarray:
    """Returns a column of a history by epoch, float64 [epochs]; NaN where an epoch lacks it.

    The PSNR of an epoch is that of its mean squared error, if the history has no mean PSNR.

    Args:
        history: one record per epoch, as in `metrics.json`.
        split: "train" or "validation".
        name: of the column.
    """
    means = [record[split] for record in history]
    if name == "psnr" and not any("psnr" in mean for mean in means):
        mse = curve(history, split, "mse")
        return psnr(tf.constant(mse, tf.float32)).numpy().astype(np.float64)
    values = [mean.get(name) for mean in means]
    return np.array([math.nan if value is None else value for value in values], np.float64)


def draw_curves(
    history: Sequence[Mapping[str, Any]], best_epoch: int, loss_unit: str = NATS
) -> Figure:
    """Draws the course of a training by epoch, for training and validation images.

    Args:
        history: one record per epoch, at least one: `epoch`, and means by name of `train` and
            `validation`.
        best_epoch: the epoch of the best weights, which is marked.
        loss_unit: unit of `loss` and `reconstruction`.
    """
    epochs = np.array([record["epoch"] for record in history])
    found = {}
    for name in CURVES:
        values = {split: curve(history, split, name) for split in _SPLITS}
        if any(np.any(np.isfinite(value)) for value in values.values()):
            found[name] = values
    if "elbo" in found and np.allclose(found["elbo"]["train"], -found["loss"]["train"], rtol=1e-6):
        # The loss is its negative: one of the two is enough.
        del found["elbo"]
    rows = math.ceil(len(found) / _COLUMNS)
    figure = new_figure(_COLUMNS * _PITCH[0] + MARGIN, _HEAD + rows * _PITCH[1])
    for number, (name, values) in enumerate(found.items()):
        row, column = divmod(number, _COLUMNS)
        axes = add_axes(figure, _PITCH[0] * column + 100.0, _PITCH[1] * row + _HEAD, *_PANEL)
        for split, (color, style, _) in _SPLITS.items():
            if np.any(np.isfinite(values[split])):
                marker = {"marker": "o", "markersize": 3} if len(epochs) <= _MOST_MARKED else {}
                axes.plot(epochs, values[split], style, color=color, linewidth=1.5, **marker)
        axes.axvline(best_epoch, color=FAINT, linewidth=0.9, linestyle=":")
        title, unit = CURVES[name]
        plain_axes(axes, title, "epoch", unit or loss_unit)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(nbins=6, integer=True))
        if name in FROM_ZERO:
            axes.set_ylim(bottom=0.0)
        if len(epochs) == 1:
            axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    write_title(figure, "Training")
    handles = [
        matplotlib.lines.Line2D([], [], color=color, linestyle=style, label=text)
        for split, (color, style, text) in _SPLITS.items()
        if any(np.any(np.isfinite(values[split])) for values in found.values())
    ]
    best = f"best epoch ({best_epoch})"
    handles.append(matplotlib.lines.Line2D([], [], color=FAINT, linestyle=":", label=best))
    write_legend(figure, handles, _PITCH[0], MARGIN, columns=3)
    return figure


class RunPoint(NamedTuple):
    """A run in the plane of rate and distortion.

    Attributes:
        name: of the run.
        rate: nats per example.
        distortion: nats per example.
        kl_weight: the final factor of the rate in the loss.
    """

    name: str
    rate: float
    distortion: float
    kl_weight: float


def draw_rate_distortion(points: Sequence[RunPoint]) -> Figure:
    """Draws runs by the rate and the distortion of the test images.

    Lines of constant ELBO, -(distortion + rate), fall by one nat per nat; a better model lies
    farther to the lower left.

    Args:
        points: at least one run.

    References:
        Alemi et al., "Fixing a Broken ELBO", 2018.
    """
    figure = new_figure(1360, 820)
    axes = add_axes(figure, 110, 90, 800, 640)
    rate = np.array([point.rate for point in points])
    distortion = np.array([point.distortion for point in points])
    handles = []
    for number, point in enumerate(points):
        name = "\n".join(wrap(point.name, _LEGEND_WIDTH))
        handles += axes.plot(
            point.rate,
            point.distortion,
            _MARKERS[number // len(LINES) % len(_MARKERS)],
            color=LINES[number % len(LINES)],
            markersize=8,
            linestyle="",
            label=f"{name}\n  KL weight {point.kl_weight:g}, "
            f"ELBO {-point.rate - point.distortion:.2f}",
            zorder=3,
        )
    plain_axes(axes, "", f"rate KL(q(z|x) || p(z)), {NATS}", f"distortion -log p(x|z), {NATS}")
    write_title(figure, "Rate and distortion of the test images")
    _fit(axes, rate, distortion)
    _draw_bounds(axes)
    write_legend(figure, handles, 930, 90)
    return figure


def _fit(axes: Axes, rate: np.ndarray, distortion: np.ndarray) -> None:
    """Sets limits with room around the points; a rate is at least 0."""
    for set_limits, values, lowest in (
        (axes.set_xlim, rate, 0.0),
        (axes.set_ylim, distortion, -np.inf),
    ):
        room = max(0.15 * np.ptp(values), 0.05 * np.abs(values).max(), 1e-3)
        set_limits(max(values.min() - room, lowest), values.max() + room)


def _draw_bounds(axes: Axes) -> None:
    """Draws lines of constant ELBO, labelled where they leave the axes.

    Lines in a corner that has no room for the label are left out: it would lie on the legend or on
    the numbers of the axis.
    """
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    x_per_pixel = (right - left) / axes.bbox.width
    y_per_pixel = (top - bottom) / axes.bbox.height
    size, (shift, drop) = LABEL - 1.5, (3.0, 7.0)
    sums = matplotlib.ticker.MaxNLocator(nbins=7).tick_values(left + bottom, right + top)
    for total in sums:
        x = np.array([max(left, total - top), min(right, total - bottom)])
        text = f"ELBO {-total:g}"
        # Capital letters and digits are wider than the average.
        width = pixels(shift + 1.3 * CHARACTER * size * len(text))
        height = pixels(drop + 1.3 * size)
        if x[0] + width * x_per_pixel > right or total - x[0] - height * y_per_pixel < bottom:
            continue
        axes.plot(x, total - x, color=FAINT, linewidth=0.7, linestyle=":", zorder=1)
        axes.annotate(
            text,
            (x[0], total - x[0]),
            xytext=(shift, -drop),
            textcoords="offset points",
            va="top",
            fontsize=size,
            color=FAINT,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.0},
        )
