"""Animated sheets, as the content of GIF files."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from vae_lowlevel.plots.rendering import render_pixels
from vae_lowlevel.plots.sheet import Sheet

FRAME_MILLISECONDS = 80


class Animation(NamedTuple):
    """A sheet whose images change.

    Attributes:
        sheet: the sheet, whose texts stay.
        pictures: for each frame, the picture of each grid of the sheet, as `Panel.compose` returns.
    """

    sheet: Sheet
    pictures: Sequence[Sequence[np.ndarray]]

    def frames(self) -> Iterator[np.ndarray]:
        """Yields each frame, uint8 [height, width, 3]."""
        for pictures in self.pictures:
            for grid, picture in zip(self.sheet.grids, pictures, strict=True):
                grid.set_data(picture)
            yield render_pixels(self.sheet.figure)


def encode_gif(frames: Sequence[np.ndarray]) -> bytes:
    """Returns the file of an animation that repeats for ever.

    Frames without color keep their grey levels; colors are reduced to 256 per frame.

    Args:
        frames: uint8 [height, width, 3], of one size, at least one.
    """
    images = []
    for frame in frames:
        is_grey = np.array_equal(frame, np.broadcast_to(frame[..., :1], frame.shape))
        image = Image.fromarray(frame[..., 0] if is_grey else frame)
        images.append(image if is_grey else image.quantize(dither=Image.Dither.NONE))
    content = io.BytesIO()
    images[0].save(
        content,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=FRAME_MILLISECONDS,
        loop=0,
    )
    return content.getvalue()
