"""Figures of images alone: reconstructions, samples, the decoded plane, paths between images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel.plots.sheet import Colors, Panel, draw_sheet
from vae_lowlevel.plots.style import format_value

# Labels of the values along a side of the decoded plane, about.
_MOST_TICKS = 15


def error_map(image: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Computes |x - x_hat| of each pixel, the mean over its channels, as float [..., H, W, 1].

    Args:
        image: float [..., H, W, C].
        reconstruction: as `image`.
    """
    return np.abs(image - reconstruction).mean(-1, keepdims=True)


def error_colors(errors: np.ndarray) -> Colors:
    """Returns colors from 0 to the largest error, rounded up to a tenth."""
    highest = max(0.1, math.ceil(10.0 * float(np.nanmax(errors, initial=0.0))) / 10.0)
    return Colors("absolute error", 0.0, highest)


def in_columns(images: np.ndarray, columns: int) -> np.ndarray:
    """Lays images [N, H, W, C] out in rows, [R, columns, H, W, C]; empty places are NaN."""
    rows = math.ceil(len(images) / columns)
    laid = np.full([rows * columns, *images.shape[1:]], np.nan, np.float32)
    laid[: len(images)] = images
    return laid.reshape(rows, columns, *images.shape[1:])


def draw_reconstructions(
    image: np.ndarray,
    reconstruction: np.ndarray,
    names: Sequence[str],
    *,
    corrupted: np.ndarray | None = None,
    columns: int = 10,
) -> Figure:
    """Draws images, their reconstructions and the errors, in blocks of rows.

    Args:
        image: float [N, H, W, C] in [0, 1], N at least 1.
        reconstruction: as `image`.
        names: of the class of each image, N texts; empty for none.
        corrupted: what the encoder saw in place of `image`; None for `image` itself.
        columns: images in a row.
    """
    columns = min(columns, len(image))
    errors = error_map(image, reconstruction)
    colors = error_colors(errors)
    shown = {"original": image}
    if corrupted is not None:
        shown["corrupted"] = corrupted
    shown["reconstruction"] = reconstruction
    panels = []
    for first in range(0, len(image), columns):
        rows = slice(first, first + columns)
        images = np.concatenate([in_columns(part[rows], columns) for part in shown.values()])
        panels.append(Panel(images, row_labels=list(shown), column_labels=list(names[rows])))
        panels.append(Panel(in_columns(errors[rows], columns), row_labels=["error"], colors=colors))
    mse = np.square(image - reconstruction).mean()
    explanation = (
        "Each image is above the mean image that is decoded from its latent. Mean squared error "
        f"per pixel of these {len(image)} images: {mse:.4f}."
    )
    if corrupted is None:
        return draw_sheet("Reconstructions of test images", panels, explanation).figure
    explanation = "The encoder sees the corrupted image; errors are those from the original. Mean "
    explanation += f"squared error per pixel of these {len(image)} images: {mse:.4f}."
    return draw_sheet("Reconstructions of corrupted test images", panels, explanation).figure


def draw_samples(
    samples: np.ndarray,
    tempered: np.ndarray,
    temperatures: Sequence[float],
    names: Sequence[str] = (),
) -> Figure:
    """Draws images of draws from the prior, and of the same noise at several temperatures.

    Args:
        samples: float [R, S, H, W, C] in [0, 1], at temperature 1.
        tempered: float [T, S, H, W, C] in [0, 1].
        temperatures: T factors of the prior's standard deviation.
        names: of the class of each column, for a conditional model; none for any other.
    """
    panels = [
        Panel(samples, "z from the prior", column_labels=names),
        Panel(
            tempered,
            "one draw per column, the standard deviation of the prior multiplied by a temperature",
            row_labels=[f"{temperature:.1f}" for temperature in temperatures],
            y_label="temperature",
        ),
    ]
    explanation = (
        "Mean images of p(x|z). A lower temperature draws z closer to the mean of the prior, or of "
        "each component of a mixture: cleaner images, less variety."
    )
    return draw_sheet("Samples", panels, explanation).figure


def draw_manifold(images: np.ndarray, first: np.ndarray, second: np.ndarray) -> Figure:
    """Draws the decoded plane of two latent dimensions.

    Args:
        images: float [side, side, H, W, C] in [0, 1]; the first coordinate grows to the right, the
            second upwards.
        first: float [side], the first coordinate of each column.
        second: float [side], the second coordinate of each row.
    """
    side = len(first)
    every = math.ceil(side / _MOST_TICKS)
    shown = [number % every == (side // 2) % every for number in range(side)]
    labels = [
        [
            format_value(value) if is_shown else ""
            for value, is_shown in zip(values, shown, strict=True)
        ]
        for values in (first, second)
    ]
    panel = Panel(
        images,
        row_labels=labels[1],
        column_labels=labels[0],
        x_label="z[0], at equal quantiles of the prior",
        y_label="z[1]",
        has_gaps=False,
    )
    explanation = (
        "The mean image at each point. Between two neighbors lies the same probability of the "
        "prior in either coordinate."
    )
    return draw_sheet("The decoded latent plane", [panel], explanation).figure


def draw_class_samples(images: np.ndarray, names: Sequence[str], classes: int) -> Figure:
    """Draws one row of samples per class of a conditional model, one z per column.

    Args:
        images: float [K, S, H, W, C] in [0, 1].
        names: of the K classes shown.
        classes: of the model, at least K.
    """
    explanation = "All images of a column have the same z, drawn from the prior; only the class "
    explanation += "differs. What the rows share is what z represents: the style."
    if classes > len(names):
        explanation += f" The first {len(names)} of {classes} classes are shown."
    return draw_sheet("Samples by class", [Panel(images, row_labels=names)], explanation).figure


def draw_interpolations(
    linear: np.ndarray, spherical: np.ndarray, ends: tuple[np.ndarray, np.ndarray]
) -> Figure:
    """Draws the ways between pairs of test images, on a straight line and around the origin.

    Args:
        linear: float [N, T, H, W, C] in [0, 1], decoded points.
        spherical: as `linear`.
        ends: the two images of each pair, float [N, H, W, C].
    """
    steps = linear.shape[1]
    labels = ["image a", *(f"t = {t:.3g}" for t in np.linspace(0.0, 1.0, steps)), "image b"]
    panels = []
    for number, ways in enumerate(zip(linear, spherical, strict=True)):
        rows = np.stack([np.concatenate([ends[0][[number]], w, ends[1][[number]]]) for w in ways])
        columns = [] if number else labels
        panels.append(Panel(rows, row_labels=["linear", "spherical"], column_labels=columns))
    explanation = (
        "Decoded points between the latents of two test images: on the straight line, and at equal "
        "angles as seen from the origin, which keeps the length of z."
    )
    return draw_sheet("Interpolations between test images", panels, explanation).figure


def draw_class_means(images: np.ndarray, names: Sequence[tuple[str, str]]) -> Figure:
    """Draws the ways from the mean latent of one class to that of another.

    Args:
        images: float [N, T, H, W, C] in [0, 1].
        names: N pairs of classes.
    """
    steps = np.linspace(0.0, 1.0, images.shape[1])
    panel = Panel(
        images,
        row_labels=[f"{a} \u2192 {b}" for a, b in names],
        column_labels=[f"t = {t:.3g}" for t in steps],
    )
    explanation = "Decoded points on the line between the mean latents of the test images of two "
    explanation += "classes. Both ends are the average of a class, as the decoder sees it."
    return draw_sheet("From class to class", [panel], explanation).figure
