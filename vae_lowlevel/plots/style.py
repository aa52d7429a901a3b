"""How figures look: colors that color-blind readers can tell apart, fonts, sizes, plain axes.

Figures are `matplotlib.figure.Figure`, made without pyplot, and no setting of matplotlib is
changed, so that drawing leaves a user's session as it was.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib.colors
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Pixels per inch of every figure: text stays sharp on dense screens.
DPI = 150
POINTS_PER_INCH = 72.0

# Around everything, in pixels.
MARGIN = 24.0

# Sizes in points.
TITLE, SUBTITLE, LABEL = 11.0, 8.5, 8.0
# Width of a character as a part of the size of its font, on average.
CHARACTER = 0.55

INK, FAINT, GRID = "0.12", "0.40", "0.90"

# Okabe, Ito, "Color Universal Design", 2008.
BLUE, VERMILLION, GREEN, ORANGE = "#0072B2", "#D55E00", "#009E73", "#E69F00"
SKY, PURPLE, YELLOW, BLACK = "#56B4E9", "#CC79A7", "#F0E442", "#000000"
LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK, YELLOW)
# Two more for ten classes, from Paul Tol's "muted" scheme.
CLASSES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, BLACK, YELLOW, "#882255", "#999933")
UNKNOWN = "0.80"

# Of quantities that start at 0, of classes of any number, and of changes to either side of 0.
SEQUENTIAL, DIVERGING = "viridis", "RdBu_r"


def pixels(points: float) -> float:
    """Returns a size in points as pixels of a figure."""
    return points * DPI / POINTS_PER_INCH


def class_colors(classes: int) -> np.ndarray:
    """Returns one color per class, float [classes, 4]: up to ten distinct ones, else a scale."""
    if classes <= len(CLASSES):
        return matplotlib.colors.to_rgba_array(CLASSES[:classes]).reshape(classes, 4)
    return matplotlib.colormaps[SEQUENTIAL](np.arange(classes) / (classes - 1))


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in pixels."""
    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Adds axes to a figure.

    Their place is given in pixels from the upper left corner of the figure: to let matplotlib find
    it would take longer than to draw.
    """
    all_width, all_height = figure.bbox.size
    bottom = 1.0 - (top + height) / all_height
    return figure.add_axes([left / all_width, bottom, width / all_width, height / all_height])


def write_title(figure: Figure, title: str) -> None:
    """Writes the title of a figure into its upper left corner."""
    width, height = figure.bbox.size
    x, y = MARGIN / width, 1.0 - MARGIN / height
    figure.suptitle(title, fontsize=TITLE, weight="bold", color=INK, x=x, y=y, ha="left", va="top")


def write_legend(
    figure: Figure, handles: Sequence[Artist], left: float, top: float, columns: int = 1
) -> None:
    """Writes a legend next to the axes.

    Args:
        figure: where.
        handles: what it explains, with labels.
        left: in pixels from the left side of the figure.
        top: in pixels from its upper side.
        columns: entries in a row.
    """
    width, height = figure.bbox.size
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / width, 1.0 - top / height),
        borderaxespad=0.0,
        frameon=False,
        fontsize=SUBTITLE,
        labelcolor=INK,
        ncols=columns,
    )


def format_value(value: float, digits: int = 2) -> str:
    """Returns a number with a true minus sign."""
    return f"{value:.{digits}f}".replace("-", "\u2212")


def plain_axes(axes: Axes, title: str, x_label: str, y_label: str) -> None:
    """Gives axes a title, labels with units, a faint grid and no box."""
    axes.set_title(title, fontsize=TITLE - 1, color=INK, loc="left")
    axes.set_xlabel(x_label, fontsize=LABEL, color=INK)
    axes.set_ylabel(y_label, fontsize=LABEL, color=INK)
    axes.tick_params(labelsize=LABEL, colors=INK, length=2.5)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(FAINT)


def wrap(text: str, width: float, points: float = LABEL, most_lines: int = 99) -> list[str]:
    """Breaks a text into lines.

    Args:
        text: the text; its own line ends stay.
        width: of a line, in pixels.
        points: size of the font.
        most_lines: what is left after these is replaced by an ellipsis.
    """
    characters = max(1, int(width / (CHARACTER * pixels(points))))
    lines = [line for part in text.splitlines() for line in textwrap.wrap(part, characters) or [""]]
    if len(lines) > most_lines:
        last = lines[most_lines - 1]
        lines = [*lines[: most_lines - 1], last[: max(0, characters - 1)] + "\u2026"]
    return lines


def list_names(names: Sequence[str], most: int = 12) -> str:
    """Returns names separated by commas; of many, the first ones and how many follow."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
