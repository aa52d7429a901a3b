"""The scatter plot of a two-dimensional latent space."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

# Farther out, single outliers would shrink everything else: they are drawn on the border.
LARGEST_REACH = 8.0

# Ten hues of similar weight, for up to ten classes; more classes share a continuous map.
FEW_COLORS = "tab10"
MANY_COLORS = "gist_rainbow"


def draw_latent_plane(z: np.ndarray, label: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draws the z of images as points in the plane, colored by class.

    Both axes have one scale and reach to the farthest point, at most 8 from the origin; points
    outside are drawn on the border.

    Args:
        z: float [N, 2].
        label: int [N], the class; -1 is drawn in grey, as "unknown".
        class_names: one name per class; empty where the data have no classes.

    Returns:
        The figure, with the class names in its legend.
    """
    reach = float(np.clip(np.ceil(np.abs(z).max(initial=1.0)), 1.0, LARGEST_REACH))
    z = np.clip(z, -reach, reach)
    figure = Figure(figsize=(7.4, 6.0), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    colors = np.full([len(label), 4], matplotlib.colors.to_rgba("lightgrey"))
    for number, color in enumerate(_class_colors(len(class_names))):
        colors[label == number] = color
    # In the order of the data, so that no class lies on top of all others.
    axes.scatter(z[:, 0], z[:, 1], s=4.0, c=colors, linewidths=0)
    entries = [*enumerate(class_names), (-1, "unknown")]
    for number, name in entries:
        if class_names and np.any(label == number):
            color = colors[np.argmax(label == number)]
            axes.scatter([], [], s=36.0, color=[color], label=name)
    if class_names and len(label):
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    margin = 0.03 * reach
    axes.set(
        title="Test images in the latent plane",
        xlabel="z[0]",
        ylabel="z[1]",
        aspect="equal",
        xlim=(-reach - margin, reach + margin),
        ylim=(-reach - margin, reach + margin),
    )
    axes.grid(visible=True, color="0.9", linewidth=0.6)
    axes.set_axisbelow(True)
    return figure


def _class_colors(classes: int) -> np.ndarray:
    """Returns one color per class, float [classes, 4]."""
    if classes <= 10:
        return matplotlib.colormaps[FEW_COLORS](np.arange(classes))
    return matplotlib.colormaps[MANY_COLORS](np.arange(classes) / classes)
