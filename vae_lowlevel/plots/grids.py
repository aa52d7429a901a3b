"""Grids of images, without axes."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf
from PIL import Image

from vae_lowlevel import files
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.types import to_unit

GAP = 2  # pixels between the tiles of a grid


def plot(images: np.ndarray, path: str | None = None) -> Image.Image:
    """Lays images out in a square grid.

    Args:
        images: float in [0, 1] or uint8, [N, H, W, 1 or 3] or [N, H, W], at least one.
        path: PNG file to write; None for none.

    Returns:
        The picture, which a notebook shows; `numpy.asarray` makes an array of it.

    Raises:
        ValueError: `images` are not such an array.
    """
    images = np.asarray(images)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3) or not images.size:
        raise ValueError(
            "plot(images, path) needs images [N, H, W, 1 or 3] or [N, H, W], got "
            f"{images.dtype} {list(images.shape)}"
        )
    if images.dtype == np.uint8:
        images = to_unit(images).numpy()
    grid = image_grid(images, columns=math.ceil(math.sqrt(len(images))))
    if path is not None:
        files.write(path, encode_png(grid))
    return Image.fromarray(grid[..., 0] if grid.shape[-1] == 1 else grid)


def image_grid(images: np.ndarray, columns: int) -> np.ndarray:
    """Lays images out in rows, with white lines between them.

    Args:
        images: float [N, H, W, C] in [0, 1].
        columns: images in a row.

    Returns:
        uint8 [rows x (H + 2) - 2, columns x (W + 2) - 2, C].
    """
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    tiles = np.full([rows * columns, height + GAP, width + GAP, channels], 255, np.uint8)
    tiles[:count, :height, :width] = np.round(np.clip(images, 0.0, 1.0) * 255.0)
    grid = tiles.reshape(rows, columns, *tiles.shape[1:]).swapaxes(1, 2)
    grid = grid.reshape(rows * (height + GAP), columns * (width + GAP), channels)
    return grid[:-GAP, :-GAP]


def comparison_grid(top: np.ndarray, bottom: np.ndarray, columns: int) -> np.ndarray:
    """Lays out pairs: each row of `top` images has the row of `bottom` images beneath it.

    Args:
        top: float [N, H, W, C] in [0, 1].
        bottom: as `top`.
        columns: images in a row.

    Returns:
        uint8 [2 x rows x (H + 2) - 2, columns x (W + 2) - 2, C].
    """
    rows = [
        image_grid(images, columns)
        for start in range(0, len(top), columns)
        for images in (top[start : start + columns], bottom[start : start + columns])
    ]
    width = rows[0].shape[1]
    padded = []
    for row in rows:
        tile = np.full([row.shape[0] + GAP, width, row.shape[2]], 255, np.uint8)
        tile[: row.shape[0], : row.shape[1]] = row[:, :width]
        padded.append(tile)
    return np.concatenate(padded)[:-GAP]


def quantile_grid(columns: int, draws: np.ndarray | None = None) -> np.ndarray:
    """Returns points of the plane at equal quantiles of either coordinate.

    Args:
        columns: points in a row, and rows.
        draws: [N, 2], of the distribution; None for N(0, I).

    Returns:
        float32 [columns^2, 2], row by row of the picture: the first coordinate grows to the right,
        the second upwards.
    """
    probability = (np.arange(columns) + 0.5) / columns
    if draws is None:
        across = up = math.sqrt(2.0) * tf.math.erfinv(2.0 * probability - 1.0).numpy()
    else:
        across, up = np.quantile(draws, probability, axis=0).T
    second, first = np.meshgrid(up[::-1], across, indexing="ij")
    return np.stack([first.ravel(), second.ravel()], -1).astype(np.float32)
