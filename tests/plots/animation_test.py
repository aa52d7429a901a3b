import io

import numpy as np
import pytest
from PIL import Image

from vae_lowlevel.plots.animation import FRAME_MILLISECONDS, Animation, encode_gif
from vae_lowlevel.plots.sheet import Panel, draw_sheet


def read(content):
    """Returns the frames of a GIF file, uint8 [F, H, W, 3], and what it says of itself."""
    with Image.open(io.BytesIO(content)) as image:
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            frames.append(np.asarray(image.convert("RGB")))
        return np.stack(frames), image.info


@pytest.mark.parametrize("is_grey", [True, False])
def test_frames_are_read_back(is_grey):
    # Of 200 levels or colors, which fit into the 256 of a frame.
    generator = np.random.default_rng(0)
    palette = generator.integers(0, 256, [200, 3]).astype(np.uint8)
    if is_grey:
        palette[:, 1:] = palette[:, :1]
    frames = palette[generator.integers(0, 200, [4, 9, 12])]
    found, info = read(encode_gif(list(frames)))
    np.testing.assert_array_equal(found, frames)
    assert info["loop"] == 0
    assert info["duration"] == FRAME_MILLISECONDS


def test_the_frames_of_a_sheet_show_their_pictures():
    def panel(level):
        return Panel(np.full([1, 1, 4, 4, 1], level))

    sheet = draw_sheet("title", [panel(0.0)])
    levels = [0.0, 0.25, 0.75]
    animation = Animation(sheet, [[panel(level).compose()] for level in levels])
    frames, _ = read(encode_gif(list(animation.frames())))
    assert len(frames) == 3
    box = sheet.figure.axes[0].get_position()
    height, width = frames.shape[1:3]
    y, x = round((1 - (box.y0 + box.y1) / 2) * height), round((box.x0 + box.x1) / 2 * width)
    for frame, level in zip(frames, levels, strict=True):
        np.testing.assert_array_equal(frame[y - 50 : y + 50, x - 50 : x + 50], int(256 * level))
    # The texts stay.
    np.testing.assert_array_equal(frames[0, :60], frames[2, :60])
