"""Traversals: one latent unit at a time from low to high, all others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel.plots.animation import Animation
from vae_lowlevel.plots.image_figures import in_columns
from vae_lowlevel.plots.sheet import Panel, draw_sheet
from vae_lowlevel.plots.style import format_value, list_names

# Ends of a traversal, in standard deviations of the prior.
REACH = 3.0
MOST_UNITS = 20
_ANIMATED_COLUMNS, _ANIMATED_TILE = 6, 120


class Units(NamedTuple):
    """How much each latent unit is used, by the test images.

    Attributes:
        activity: float [D]: KL(q(z_j|x) || p(z_j)) in nats, the mean over images; where the KL has
            no terms per unit, the variance of the units' values.
        is_kl: whether `activity` is the KL.
        is_active: bool [D]: whether the variance of the unit's values exceeds `threshold`.
        threshold: of the variance.
    """

    activity: np.ndarray
    is_kl: bool
    is_active: np.ndarray
    threshold: float

    @property
    def order(self) -> np.ndarray:
        """The numbers of all units, int [D], from the most to the least used one."""
        return np.argsort(-self.activity, kind="stable")

    @property
    def shown(self) -> np.ndarray:
        """The units that are traversed: the most used active ones; all units if none is active."""
        order = self.order
        active = order[self.is_active[order]]
        return (active if len(active) else order)[:MOST_UNITS]

    def label(self, unit: int) -> str:
        """Returns the name of a unit and how much it is used."""
        value = self.activity[unit]
        return f"z[{unit}]\n" + (f"KL {value:.2f} nats" if self.is_kl else f"variance {value:.2f}")

    def describe(self) -> str:
        """Returns which units are active, in words."""
        count, active = len(self.activity), np.flatnonzero(self.is_active)
        what = "the KL" if self.is_kl else "the variance of its values"
        meaning = f"variance of E[z_j|x] over the test images above {self.threshold:g}"
        if not len(active):
            return (
                f"Warning: none of the {count} units is active ({meaning}): the posterior has "
                "collapsed onto the prior, and z has no information on the image."
            )
        text = f"{len(active)} of {count} units are active ({meaning}), sorted by {what}."
        if len(active) > MOST_UNITS:
            text += f" The first {MOST_UNITS} are shown."
        idle = [f"z[{unit}]" for unit in np.flatnonzero(~self.is_active)]
        if idle:
            text += f" Not active, and so without information on the image: {list_names(idle)}."
        return text


def traversal_points(
    start: np.ndarray, units: np.ndarray, values: np.ndarray, loc: np.ndarray, scale: np.ndarray
) -> np.ndarray:
    """Returns z with one unit at a time moved through values, the others as in `start`.

    Args:
        start: float [D].
        units: int [U], which ones.
        values: float [T], in standard deviations of the prior from its mean.
        loc: float [D], mean of the prior.
        scale: float [D], its standard deviations.

    Returns:
        float32 [U, T, D].
    """
    z = np.tile(start.astype(np.float32), [len(units), len(values), 1])
    for row, unit in enumerate(units):
        z[row, :, unit] = loc[unit] + values * scale[unit]
    return z


def draw_traversals(images: np.ndarray, values: np.ndarray, units: Units) -> Figure:
    """Draws one row per shown unit.

    Args:
        images: float [U, T, H, W, C] in [0, 1], of `units.shown`.
        values: float [T], in standard deviations of the prior from its mean.
        units: all units.
    """
    panel = Panel(
        images,
        row_labels=[units.label(unit) for unit in units.shown],
        column_labels=[format_value(value, 1) for value in values],
        x_label="value of the unit, in standard deviations of the prior from its mean",
    )
    explanation = units.describe() + " All other units keep the values of a test image."
    return draw_sheet("Latent traversals", [panel], explanation).figure


def animate_traversals(images: np.ndarray, values: np.ndarray, units: Units) -> Animation:
    """Returns an animation in which all shown units move from low to high and back.

    Args:
        images: as for `draw_traversals`.
        values: as for `draw_traversals`.
        units: all units.
    """
    shown = units.shown
    columns = min(_ANIMATED_COLUMNS, len(shown))
    labels = [units.label(unit) for unit in shown]

    def panels(step: int) -> Sequence[Panel]:
        laid = in_columns(images[:, step], columns)
        starts = range(0, len(shown), columns)
        return [
            Panel(row[None], column_labels=labels[start : start + columns])
            for row, start in zip(laid, starts, strict=True)
        ]

    # There and back, without the ends twice.
    steps = [*range(len(values)), *range(len(values) - 2, 0, -1)]
    sheet = draw_sheet(
        "Latent traversals",
        panels(0),
        f"Each unit from {format_value(values[0], 0)} to {format_value(values[-1], 0)} standard "
        "deviations of the prior from its mean.",
        _ANIMATED_TILE,
    )
    pictures = [[panel.compose() for panel in panels(step)] for step in steps]
    return Animation(sheet, pictures)
