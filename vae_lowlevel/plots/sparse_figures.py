"""Figures of a sparse autoencoder: how active its units are, and what each of them draws."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel.plots.image_figures import in_columns
from vae_lowlevel.plots.sheet import Colors, Panel, draw_sheet
from vae_lowlevel.plots.style import (
    BLUE,
    DIVERGING,
    SUBTITLE,
    VERMILLION,
    add_axes,
    new_figure,
    plain_axes,
    write_title,
)

MOST_UNITS = 100
_COLUMNS = 10
_BINS = 50


def draw_units(changes: np.ndarray, activity: np.ndarray, units: int) -> Figure:
    """Draws what each unit adds to the image: the atoms of the decoder.

    Args:
        changes: float [K, H, W, C]: the mean image with one unit at its highest code, minus that
            with all units at 0; from the most to the least active unit.
        activity: float [K], the mean activity of these units, part of its range.
        units: D, all units of the code.
    """
    atoms = changes.mean(-1, keepdims=True)
    highest = max(float(np.abs(atoms).max()), 1e-6)
    colors = Colors("change of a pixel", -highest, highest, DIVERGING)
    starts = range(0, len(atoms), _COLUMNS)
    panels = [
        Panel(
            in_columns(atoms[start : start + _COLUMNS], min(_COLUMNS, len(atoms))),
            column_labels=[f"{100 * value:.1f}%" for value in activity[start : start + _COLUMNS]],
            colors=colors if start == 0 else colors._replace(label=""),
        )
        for start in starts
    ]
    explanation = (
        "How the decoded image changes when one unit alone is raised from 0 to its highest code of "
        "the test images. Red pixels become brighter, blue ones darker. Above each unit: its mean "
        "activity; the most active unit comes first."
    )
    if units > len(changes):
        explanation += f" The first {len(changes)} of {units} units are shown."
    return draw_sheet("Decoder atoms of the sparse code", panels, explanation).figure


def draw_codes(activity: np.ndarray, target: float) -> Figure:
    """Draws how the activities are distributed, and the mean activity of each unit.

    Args:
        activity: float [N, D] in [0, 1].
        target: the mean activity that training asks of each unit.
    """
    figure = new_figure(1400, 580)
    axes = add_axes(figure, 110, 120, 550, 380)
    values = activity.ravel()
    axes.hist(
        values,
        bins=np.linspace(0.0, 1.0, _BINS + 1),
        weights=np.full(values.size, 100.0 / values.size),
        color=BLUE,
    )
    axes.set_yscale("log")
    # The default, powers of ten, are formulas, which take long to draw.
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    plain_axes(
        axes,
        "All units and test images",
        "activity of a unit for an image, part of its range",
        "% of all activities (logarithmic)",
    )
    axes = add_axes(figure, 810, 120, 550, 380)
    means = np.sort(activity.mean(0))[::-1]
    axes.bar(np.arange(1, len(means) + 1), means, width=0.8, color=BLUE, label="mean activity")
    line = f"target {target:g}"
    axes.axhline(target, color=VERMILLION, linewidth=1.3, linestyle="--", label=line)
    plain_axes(axes, "Each unit, mean over the test images", "units by mean activity", "activity")
    axes.legend(frameon=False, fontsize=SUBTITLE)
    write_title(figure, f"Sparse codes: mean activity {activity.mean():.4f}, target {target:g}")
    return figure
