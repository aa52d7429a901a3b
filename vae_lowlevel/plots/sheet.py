"""Sheets: grids of images under each other, with labels, each pixel drawn as a sharp square.

Places are computed in whole pixels of the figure, so that all pixels of an image have one size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from vae_lowlevel.plots.style import (
    CHARACTER,
    FAINT,
    INK,
    LABEL,
    MARGIN,
    SEQUENTIAL,
    SUBTITLE,
    TITLE,
    add_axes,
    new_figure,
    pixels,
    wrap,
)

# Of the grids, in pixels of the figure; the largest is for images that are larger than that.
WIDTH, LARGEST_WIDTH = 1200, 2400
# Of an image that is magnified.
LARGEST_TILE = 200
_SPACE, _BLOCK_SPACE = 10.0, 16.0
_BAR, _BAR_LABELS = 18.0, 100.0  # Of a scale: the least width of what is right of it.
_DIGIT = 0.66  # Width of a digit as a part of the size of its font; that of a minus sign is 0.84.
_LINE = 1.25  # Height of a line of text, as a part of the size of its font.
_MOST_LABEL = 230.0  # Width of the labels of rows, in pixels.


class Colors(NamedTuple):
    """How a quantity per pixel is drawn.

    Attributes:
        label: what the quantity is, with its unit; empty where another panel has the scale.
        lowest: value of the first color.
        highest: value of the last color.
        name: of the colormap of matplotlib.
    """

    label: str
    lowest: float
    highest: float
    name: str = SEQUENTIAL


class Panel(NamedTuple):
    """A grid of images of one size.

    Attributes:
        images: float [R, S, H, W, C], R rows of S images in [0, 1]; with `colors` a quantity, and
            C = 1. An image of NaN is an empty place.
        title: above the grid.
        row_labels: R texts, or none.
        column_labels: S texts, fewer where the last places are empty, or none.
        x_label: below the grid.
        y_label: left of the grid.
        colors: for a quantity; None for images.
        has_gaps: whether there are white lines between the images.
    """

    images: np.ndarray
    title: str = ""
    row_labels: Sequence[str] = ()
    column_labels: Sequence[str] = ()
    x_label: str = ""
    y_label: str = ""
    colors: Colors | None = None
    has_gaps: bool = True

    @property
    def gap(self) -> int:
        """Width of the lines between the images, in pixels of an image."""
        height = self.images.shape[2]
        return max(1, round(height / 16)) if self.has_gaps else 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the grid, in pixels of an image."""
        rows, columns, height, width, _ = self.images.shape
        return (height + self.gap) * rows - self.gap, (width + self.gap) * columns - self.gap

    def place(self, row: int, column: int) -> tuple[slice, slice]:
        """Returns where an image is in `compose`, as slices of rows and columns of pixels."""
        _, _, height, width, _ = self.images.shape
        top, left = row * (height + self.gap), column * (width + self.gap)
        return slice(top, top + height), slice(left, left + width)

    def compose(self) -> np.ndarray:
        """Returns the grid as one picture, float [height, width] or, of colors, [..., 3].

        Between the images it is NaN for a quantity, and white, 1, for images.
        """
        rows, columns, *_, channels = self.images.shape
        images = self.images
        if channels not in (1, 3):
            images, channels = images.mean(-1, keepdims=True), 1
        if self.colors is None:
            images = np.where(np.isnan(images), 1.0, np.clip(images, 0.0, 1.0))
        grid = np.full([*self.size, channels], 1.0 if self.colors is None else np.nan)
        for row in range(rows):
            for column in range(columns):
                grid[self.place(row, column)] = images[row, column]
        return grid[..., 0] if channels == 1 else grid


class Sheet(NamedTuple):
    """A drawn sheet.

    Attributes:
        figure: the figure.
        grids: the picture of each panel.
    """

    figure: Figure
    grids: list[AxesImage]


def draw_sheet(
    title: str,
    panels: Sequence[Panel],
    explanation: str = "",
    largest_tile: int = LARGEST_TILE,
) -> Sheet:
    """Draws panels under each other.

    Args:
        title: of the figure.
        panels: from the top on; their images are magnified by one factor.
        explanation: sentences below the title.
        largest_tile: width up to which images are magnified, in pixels.
    """
    widest = max(panel.size[1] for panel in panels)
    scale = _magnification(widest, largest_tile // max(panel.images.shape[3] for panel in panels))
    left = MARGIN + max(_left_width(panel) for panel in panels)
    right = MARGIN + max(_right_width(panel, scale) for panel in panels)
    # A narrow grid still has room for a title.
    width = left + max(round(widest * scale), 420) + right
    lines = wrap(explanation, width - 2 * MARGIN, SUBTITLE)
    head = _height(1, TITLE) + _height(len(lines), SUBTITLE) + _SPACE
    tops = [_label_heights(panel, scale) for panel in panels]
    sizes = [round(panel.size[0] * scale) for panel in panels]
    spaces = [0.0, *(_space_above(panel) for panel in panels[1:])]
    height = 2 * MARGIN + head + sum(map(sum, tops)) + sum(sizes) + sum(spaces)
    figure = new_figure(width, height)

    def write(x: float, y: float, text: str, points: float, **style: object) -> None:
        style = {"color": INK, "va": "top", **style}
        figure.text(x / width, 1.0 - y / height, text, fontsize=points, **style)

    write(MARGIN, MARGIN, title, TITLE, weight="bold")
    if lines:
        below = MARGIN + _height(1, TITLE)
        write(MARGIN, below, "\n".join(lines), SUBTITLE, color=FAINT, linespacing=_LINE)
    grids, y = [], MARGIN + head
    for panel, space, (above, labels, below), size in zip(panels, spaces, tops, sizes, strict=True):
        y += space
        if panel.title:
            write(left, y, panel.title, SUBTITLE)
        y += above + labels
        across = round(panel.size[1] * scale)
        axes = add_axes(figure, left, y, across, size)
        grids.append(_show(axes, panel, scale))
        if panel.colors is not None and panel.colors.label:
            bar = add_axes(figure, left + across + _SPACE, y, _BAR, size)
            _show_bar(figure, bar, grids[-1], panel.colors, size)
        y += size + below
    return Sheet(figure, grids)


def _magnification(width: int, most: int) -> float:
    """Returns the factor of a grid's size: a whole number, or below 1 if the grid is too large."""
    if width > LARGEST_WIDTH:
        return LARGEST_WIDTH / width
    return float(max(1, min(WIDTH // width, most)))


def _space_above(panel: Panel) -> float:
    """Returns the space between a panel and the one above it; more where a block begins."""
    return _SPACE + (_BLOCK_SPACE if panel.title or panel.column_labels else 0.0)


def _show(axes: Axes, panel: Panel, scale: float) -> AxesImage:
    """Draws the grid and its labels, which stand at the middle of their row or column."""
    rows, columns, height, width, _ = panel.images.shape
    colors = panel.colors or Colors("", 0.0, 1.0, "gray")
    colormap = matplotlib.colormaps[colors.name].with_extremes(bad="white")
    grid = axes.imshow(
        panel.compose(),
        cmap=colormap,
        vmin=colors.lowest,
        vmax=colors.highest,
        # A figure in SVG keeps the pixels as they are.
        interpolation="none" if scale >= 1.0 else "antialiased",
        aspect="auto",
    )
    x = [column * (width + panel.gap) + (width - 1) / 2 for column in range(columns)]
    y = [row * (height + panel.gap) + (height - 1) / 2 for row in range(rows)]
    # The last places of a grid may be empty.
    axes.set_xticks(x[: len(panel.column_labels)], _fitted(panel, scale))
    axes.set_yticks(y[: len(panel.row_labels)], list(panel.row_labels))
    axes.xaxis.tick_top()
    axes.tick_params(length=0, pad=3, labelsize=LABEL, labelcolor=INK)
    axes.set_xlabel(panel.x_label, fontsize=LABEL, color=INK)
    axes.xaxis.set_label_position("bottom")
    axes.set_ylabel(panel.y_label, fontsize=LABEL, color=INK)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return grid


def _show_bar(figure: Figure, axes: Axes, grid: AxesImage, colors: Colors, height: float) -> None:
    bar = figure.colorbar(grid, cax=axes)
    bar.outline.set_visible(False)
    values, texts = _ticks(colors)
    bar.set_ticks(values, labels=texts)
    bar.ax.tick_params(labelsize=LABEL - 1, labelcolor=INK, length=2)
    label = "\n".join(wrap(colors.label, height, LABEL - 1))
    bar.set_label(label, fontsize=LABEL - 1, color=INK)


def _ticks(colors: Colors) -> tuple[list[float], list[str]]:
    """Returns the values that are written at a scale, and their texts."""
    values = [colors.lowest, (colors.lowest + colors.highest) / 2, colors.highest]
    return values, [f"{value:.3g}".replace("-", "\u2212") for value in values]


def _right_width(panel: Panel, scale: float) -> float:
    """Returns the width of a scale with its texts: a label breaks into lines at a low grid."""
    if panel.colors is None:
        return 0.0
    digits = max(map(len, _ticks(panel.colors)[1])) + 1
    lines = len(wrap(panel.colors.label, round(panel.size[0] * scale), LABEL - 1))
    texts = digits * _DIGIT * pixels(LABEL - 1) + _height(lines + 1, LABEL - 1)
    return _BAR + max(_BAR_LABELS, math.ceil(texts))


def _fitted(panel: Panel, scale: float) -> list[str]:
    """Returns the labels of the columns, broken into lines of a column's width."""
    width = (panel.images.shape[3] + panel.gap) * scale
    return ["\n".join(wrap(label, width, most_lines=3)) for label in panel.column_labels]


def _left_width(panel: Panel) -> float:
    lines = [line for label in panel.row_labels for line in label.splitlines()]
    label = max((len(line) for line in lines), default=0) * CHARACTER * pixels(LABEL)
    return (
        math.ceil(min(label, _MOST_LABEL)) + _SPACE + (_height(1, LABEL) if panel.y_label else 0.0)
    )


def _label_heights(panel: Panel, scale: float) -> tuple[float, float, float]:
    """Returns the heights of the title, of the labels above and of those below a grid."""
    lines = max((label.count("\n") + 1 for label in _fitted(panel, scale)), default=0)
    title = _height(1, SUBTITLE) + 4.0 if panel.title else 0.0
    below = _height(1, LABEL) + _SPACE if panel.x_label else 0.0
    return title, (_height(lines, LABEL) + 8.0 if lines else 0.0), below


def _height(lines: int, points: float) -> int:
    """Returns the height of lines of text, in whole pixels, so that images begin at whole ones."""
    return math.ceil(lines * _LINE * pixels(points))
