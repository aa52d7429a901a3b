"""Latents of test images as points in a plane, by class, with the contours of the prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.colors
import matplotlib.patheffects
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle

from vae_lowlevel.plots.style import (
    INK,
    LABEL,
    SUBTITLE,
    UNKNOWN,
    add_axes,
    class_colors,
    new_figure,
    plain_axes,
    write_legend,
    write_title,
)

# Farther out, single outliers would shrink everything else: they are drawn on the border.
LARGEST_REACH = 8.0
# Part of the points beyond either side of a window that is fitted to them.
_OUTSIDE = 0.002
# Radii of the contours of N(0, I), in standard deviations.
RADII = (1.0, 2.0, 3.0)
# Parts of the draws of N(0, I) in two dimensions within these radii, 1 - exp(-r^2 / 2): what the
# contours of other priors enclose.
ENCLOSED = tuple(1.0 - float(np.exp(-0.5 * radius**2)) for radius in RADII)
_MOST_NAMES = 20
# Places in pixels: the square axes, and the legend right of them.
_LEFT, _TOP, _SIDE, _BELOW, _LEGEND = 100.0, 80.0, 860.0, 80.0, 330.0


class Density(NamedTuple):
    """Log-density of a prior on a grid of the plane.

    Attributes:
        first: float [G], the first coordinate of the columns.
        second: float [G], the second coordinate of the rows, upwards.
        log_prob: float [G, G], by row (second) and column (first).
        draws: float [M], the log-density at draws of the prior, which says what a contour encloses.
    """

    first: np.ndarray
    second: np.ndarray
    log_prob: np.ndarray
    draws: np.ndarray

    def levels(self) -> np.ndarray:
        """Returns the log-densities whose contours enclose `ENCLOSED` of the draws, ascending."""
        return np.quantile(self.draws, [1.0 - part for part in reversed(ENCLOSED)])


class Window(NamedTuple):
    """The square of the plane that is drawn.

    Attributes:
        center: float [2].
        reach: half of its side.
    """

    center: np.ndarray
    reach: float

    def clip(self, z: np.ndarray) -> np.ndarray:
        """Returns z [N, 2], points outside moved to the border."""
        return np.clip(z, self.center - self.reach, self.center + self.reach)


def plane_window(z: np.ndarray, *, is_standard: bool) -> Window:
    """Returns the window of points z [N, 2].

    Args:
        z: the points.
        is_standard: whether the prior is N(0, I): the center is then the origin, and the window
            reaches to the farthest point, 3 to 8 from it. For any other prior it holds almost all
            points, wherever they are.
    """
    if is_standard:
        farthest = np.ceil(np.abs(z).max(initial=0.0))
        return Window(np.zeros(2), float(np.clip(farthest, RADII[-1], LARGEST_REACH)))
    if not len(z):
        return Window(np.zeros(2), 1.0)
    lowest, highest = np.quantile(z, [_OUTSIDE, 1.0 - _OUTSIDE], axis=0)
    # Room for the tails of a prior around them.
    return Window((lowest + highest) / 2, 0.6 * float(np.max(highest - lowest)) or 1.0)


def draw_latent_plane(
    z: np.ndarray,
    label: np.ndarray,
    class_names: Sequence[str],
    axis_labels: tuple[str, str] = ("z[0]", "z[1]"),
    *,
    has_circles: bool = False,
    density: Density | None = None,
) -> Figure:
    """Draws the z of images as points in the plane, colored by class.

    Both axes have one scale; see `plane_window`. Points outside of it are drawn on the border. The
    name of each class is also written at the median of its points, where there is room.

    Args:
        z: float [N, 2].
        label: int [N], the class; -1 is drawn in grey, as "unknown".
        class_names: one name per class; empty where the data have no classes.
        axis_labels: of the two coordinates.
        has_circles: whether the prior is N(0, I): circles of 1, 2 and 3 standard deviations.
        density: of another prior, whose contours enclose as much as these circles.
    """
    window = plane_window(z, is_standard=has_circles)
    z = window.clip(z)
    figure = new_figure(_LEFT + _SIDE + _LEGEND, _TOP + _SIDE + _BELOW)
    write_title(figure, f"Latents of {len(z)} test images")
    axes = add_axes(figure, _LEFT, _TOP, _SIDE, _SIDE)
    colors = np.full([len(label), 4], matplotlib.colors.to_rgba(UNKNOWN))
    by_class = class_colors(len(class_names))
    for number, color in enumerate(by_class):
        colors[label == number] = color
    # In the order of the data, so that no class lies on top of all others. Of thousands of points,
    # an SVG file keeps the picture.
    axes.scatter(z[:, 0], z[:, 1], s=5.0, c=colors, alpha=0.7, linewidths=0, rasterized=True)
    handles = _class_handles(label, class_names, colors)
    if has_circles:
        handles += _draw_circles(axes)
    elif density is not None:
        handles += _draw_contours(axes, density)
    if len(class_names) <= _MOST_NAMES:
        _write_names(axes, z, label, class_names, window.reach)
    if handles:
        write_legend(figure, handles, _LEFT + _SIDE + 30.0, _TOP, 1 + (len(handles) - 1) // 28)
    plain_axes(axes, "", *axis_labels)
    (x, y), margin = window.center, 1.03 * window.reach
    axes.set(aspect="equal", xlim=(x - margin, x + margin), ylim=(y - margin, y + margin))
    return figure


def _class_handles(label: np.ndarray, class_names: Sequence[str], colors: np.ndarray) -> list:
    """Returns an entry of the legend for each class that occurs."""
    entries = [*enumerate(class_names), (-1, "unknown")] if class_names else []
    return [
        Line2D(
            [], [], marker="o", linestyle="", color=colors[np.argmax(label == number)], label=name
        )
        for number, name in entries
        if np.any(label == number)
    ]


def _draw_circles(axes: Axes) -> list[Line2D]:
    for radius in RADII:
        style = {"fill": False, "edgecolor": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
        axes.add_patch(Circle((0.0, 0.0), radius, **style))
        axes.annotate(
            f"{radius:.0f}\u03c3",
            (0.0, radius),
            ha="center",
            va="center",
            fontsize=LABEL - 0.5,
            color=INK,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "linewidth": 0},
        )
    name = "prior N(0, I):\n1, 2, 3 standard deviations"
    return [Line2D([], [], color=INK, linewidth=0.9, linestyle=(0, (4, 3)), label=name)]


def _draw_contours(axes: Axes, density: Density) -> list[Line2D]:
    axes.contour(
        density.first,
        density.second,
        density.log_prob,
        levels=np.unique(density.levels()),
        colors=INK,
        linewidths=0.9,
        linestyles="dashed",
    )
    parts = ", ".join(f"{100 * part:.0f}" for part in ENCLOSED)
    name = f"prior: contours around\n{parts}% of its draws"
    return [Line2D([], [], color=INK, linewidth=0.9, linestyle="dashed", label=name)]


def _write_names(
    axes: Axes, z: np.ndarray, label: np.ndarray, class_names: Sequence[str], reach: float
) -> None:
    outline = [matplotlib.patheffects.withStroke(linewidth=2.5, foreground="white")]
    written: list[np.ndarray] = []
    for number, name in enumerate(class_names):
        if not np.any(label == number):
            continue
        center = np.median(z[label == number], axis=0)
        # Names that would cover each other are left to the legend.
        room = reach * np.array([0.025 * (len(name) + 1), 0.05])
        if any(np.all(np.abs(center - other) < room) for other in written):
            continue
        written.append(center)
        axes.annotate(
            name,
            center,
            ha="center",
            va="center",
            fontsize=SUBTITLE,
            weight="bold",
            color=INK,
            path_effects=outline,
            zorder=4,
        )
