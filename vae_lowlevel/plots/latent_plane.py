"""The scatter plot of a two-dimensional latent space."""

from __future__ import annotations

import numpy as np

SIZE = 640  # side of the square plot, in pixels
MARGIN = 36
LEGEND = 60  # width of the strip on the right with a swatch and number for each class

# Ten colours of distinct hue and similar weight, repeated for more classes.
PALETTE = np.array(
    [
        [31, 119, 180],
        [255, 127, 14],
        [44, 160, 44],
        [214, 39, 40],
        [148, 103, 189],
        [140, 86, 75],
        [227, 119, 194],
        [127, 127, 127],
        [188, 189, 34],
        [23, 190, 207],
    ],
    np.uint8,
)
GREY = np.array([200, 200, 200], np.uint8)
BLACK = np.array([0, 0, 0], np.uint8)

# Digits and minus in 3 x 5 dots, a row of three bits after another from the top.
_GLYPHS = {
    "0": 0b111101101101111,
    "1": 0b010110010010111,
    "2": 0b111001111100111,
    "3": 0b111001111001111,
    "4": 0b101101111001001,
    "5": 0b111100111001111,
    "6": 0b111100111101111,
    "7": 0b111001001001001,
    "8": 0b111101111101111,
    "9": 0b111101111001111,
    "-": 0b000000111000000,
}
_DOT = 2  # pixels a dot


def draw_latent_plane(z: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Draws points coloured by class, with lines at whole numbers and a legend.

    The axes are equal and reach to the farthest point, but no farther than 8 from the origin;
    points outside are drawn on the border.

    Args:
        z: float [N, 2].
        label: int [N], the class; -1 is drawn in grey.

    Returns:
        uint8 [640, 700, 3]; the first coordinate grows to the right, the second upwards.
    """
    canvas = np.full([SIZE, SIZE + LEGEND, 3], 255, np.uint8)
    reach = int(np.clip(np.ceil(np.abs(z).max(initial=1.0)), 1, 8))
    low, high = MARGIN, SIZE - MARGIN
    scale = (high - low) / (2.0 * reach)

    every = 1 if reach <= 4 else 2
    for number in range(-reach, reach + 1):
        if number % every:
            continue
        at = round(low + (number + reach) * scale)
        canvas[low : high + 1, at] = canvas[low + high - at, low : high + 1] = GREY
        _write(canvas, str(number), top=high + 8, left=at - 3)
        _write(canvas, str(number), top=low + high - at - 5, left=low - 24)

    column = np.clip(np.round(low + (z[:, 0] + reach) * scale), low, high).astype(int)
    row = np.clip(np.round(high - (z[:, 1] + reach) * scale), low, high).astype(int)
    colour = np.where((label < 0)[:, None], GREY, PALETTE[label % len(PALETTE)])
    # Four pixels a point; drawn in the order of the data, so that no class lies on top of all.
    for down in (0, 1):
        for right in (0, 1):
            canvas[row + down, column + right] = colour

    for index, number in enumerate(np.unique(label[label >= 0])):
        top = low + 24 * index
        canvas[top : top + 14, SIZE : SIZE + 14] = PALETTE[number % len(PALETTE)]
        _write(canvas, str(number), top=top + 2, left=SIZE + 22)
    return canvas


def _write(canvas: np.ndarray, text: str, *, top: int, left: int) -> None:
    for position, character in enumerate(text):
        bits = [int(bit) for bit in f"{_GLYPHS[character]:015b}"]
        dots = np.array(bits, bool).reshape(5, 3).repeat(_DOT, 0).repeat(_DOT, 1)
        start = left + position * 4 * _DOT
        area = canvas[top : top + 5 * _DOT, start : start + 3 * _DOT]
        area[dots[: area.shape[0], : area.shape[1]]] = BLACK
