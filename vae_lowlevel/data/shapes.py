"""Draws ellipses, squares and hearts with known factors of variation: data without a download.

The factors are those of dSprites. Here they are continuous, edges are soft and the image size is
free. A signed distance, negative inside, describes each outline: the brightness of a pixel falls
from 1 to 0 over one pixel of distance around the edge.

References:
    Matthey, Higgins, Hassabis, Lerchner, "dSprites: Disentanglement testing Sprites dataset", 2017.
    Quilez, "2D distance functions", 2020: the box, ellipse bound and heart.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from vae_lowlevel.types import Examples

CLASS_NAMES = ("ellipse", "square", "heart")
FACTOR_NAMES = ("shape", "scale", "orientation", "x", "y")
DISCRETE_FACTORS = ("shape",)

_TRAIN_SEED, _TEST_SEED = 0, 1
_SMALLEST_SCALE = 0.5
_RADIUS = 0.25  # of the circle around a shape of scale 1, as a fraction of the image size
_BORDER = 1.0  # pixels that stay black on each side
_ASPECT = 0.5  # short axis / long axis of the ellipse
_CHUNK_PIXELS = 1 << 16  # keeps the intermediate arrays in the processor's cache

_Distance = Callable[[np.ndarray, np.ndarray], np.ndarray]


def load_shapes(count: int, image_size: int) -> tuple[Examples, Examples]:
    """Draws a training split and a test split, the same for every run.

    Args:
        count: number of training images; the test split is a sixth of it, at least 1.
        image_size: as in `draw_shapes`.

    Returns:
        the training split and the test split, as from `draw_shapes`.
    """
    train = draw_shapes(count, image_size, _TRAIN_SEED)
    return train, draw_shapes(max(1, count // 6), image_size, _TEST_SEED)


def draw_shapes(count: int, image_size: int, seed: int) -> Examples:
    """Draws white shapes on black, one complete shape per image.

    Image i depends only on (image_size, seed, i), not on `count`. The centre of mass of a shape is
    at column `margin + x * (image_size - 2 * margin)` and at row `margin + y * (image_size - 2 *
    margin)`, in pixels from the upper left corner. `margin = image_size / 4 + 1` leaves room for
    the largest shape.

    Args:
        count: number of images N, 0 or more.
        image_size: height and width S in pixels, at least 8.
        seed: seed of the factors, 0 or more.

    Returns:
        image uint8 [N, S, S, 1]; label int32 [N], an index into `CLASS_NAMES`; factors float32
        [N, 5] in the order of `FACTOR_NAMES`, independent and uniform: shape in {0, 1, 2}, scale in
        [0.5, 1], orientation in [0, 2 pi] radians, from the x axis (right) towards the y axis
        (down), x and y in [0, 1]. An ellipse looks the same after half a turn, a square after a
        quarter turn.
    """
    factors = _draw_factors(count, seed)
    return Examples(render_factors(factors, image_size), factors[:, 0].astype(np.int32), factors)


def render_factors(factors: np.ndarray, image_size: int) -> np.ndarray:
    """Draws the images of given factors.

    Args:
        factors: float32 [N, 5], as `draw_shapes` returns them.
        image_size: as in `draw_shapes`.

    Returns:
        uint8 [N, S, S, 1].
    """
    image = np.empty([len(factors), image_size, image_size, 1], np.uint8)
    chunk = max(1, _CHUNK_PIXELS // image_size**2)
    for index, distance in enumerate((_ellipse, _square, _heart)):
        (matching,) = np.nonzero(factors[:, 0] == index)
        for first in range(0, len(matching), chunk):
            rows = matching[first : first + chunk]
            image[rows, :, :, 0] = _render(distance, factors[rows], image_size)
    return image


def _draw_factors(count: int, seed: int) -> np.ndarray:
    """Draws float32 [N, 5] row by row, so that a larger count only appends rows."""
    uniform = np.random.Generator(np.random.Philox(seed)).random([count, len(FACTOR_NAMES)])
    shape, scale, orientation, x, y = uniform.T
    columns = [
        np.floor(len(CLASS_NAMES) * shape),
        _SMALLEST_SCALE + (1 - _SMALLEST_SCALE) * scale,
        2 * math.pi * orientation,
        x,
        y,
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _render(distance: _Distance, factors: np.ndarray, image_size: int) -> np.ndarray:
    """Draws images of one outline, uint8 [N, S, S]."""
    _, scale, orientation, x, y = factors.T[:, :, None, None]
    radius = _RADIUS * image_size * scale
    margin = _RADIUS * image_size + _BORDER
    pixel = np.arange(image_size, dtype=np.float32) + np.float32(0.5)
    right = (pixel - (margin + x * (image_size - 2 * margin))) / radius
    down = (pixel[:, None] - (margin + y * (image_size - 2 * margin))) / radius
    cos, sin = np.cos(orientation), np.sin(orientation)
    edge = radius * distance(cos * right + sin * down, cos * down - sin * right)
    return np.rint(255 * np.clip(0.5 - edge, 0, 1)).astype(np.uint8)


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns the distance to the ellipse of semi-axes 1 and `_ASPECT`, exact to first order."""
    v = v / _ASPECT
    level = np.hypot(u, v)
    slope = np.maximum(np.hypot(u, v / _ASPECT), np.finfo(np.float32).tiny)
    # The quotient is at least _ASPECT except at the centre, where it would be 0 / 0.
    return (level - 1) * np.maximum(level / slope, _ASPECT)


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns the distance to the square whose corners are on the unit circle."""
    across, along = np.abs(u) - math.sqrt(0.5), np.abs(v) - math.sqrt(0.5)
    outside = np.hypot(np.maximum(across, 0), np.maximum(along, 0))
    return outside + np.minimum(np.maximum(across, along), 0)


# The heart is a square of side sqrt(1/2) that stands on its tip, and a half disc on each of its
# upper sides. This is the height of its centre of mass above the tip, which is also the largest
# distance of a point from the centre of mass.
_HEART_CENTRE = (1 / 4 + math.pi / 8 * (3 / 4 + 1 / (3 * math.pi))) / (1 / 2 + math.pi / 8)


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Returns the distance to a heart, its tip on the unit circle, its centre of mass at 0."""
    side = np.abs(u) * _HEART_CENTRE
    height = (1 - v) * _HEART_CENTRE
    disc = np.hypot(side - 0.25, height - 0.75) - math.sqrt(1 / 8)
    along = np.maximum(side + height, 0) / 2
    to_notch = np.hypot(side, height - 1)
    to_flank = np.hypot(side - along, height - along)
    square = np.copysign(np.minimum(to_notch, to_flank), side - height)
    return np.where(side + height > 1, disc, square) / _HEART_CENTRE
