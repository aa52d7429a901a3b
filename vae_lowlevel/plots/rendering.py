"""matplotlib figures as the content of PNG and SVG files: the same bytes at every call."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Its identifiers are random without a salt.
_SALT = "vae_lowlevel"


def render_png(figure: Figure) -> bytes:
    """Returns the PNG file of a figure."""
    content = io.BytesIO()
    # The version of matplotlib would make files of equal pictures differ.
    figure.savefig(content, format="png", metadata={"Software": None})
    return content.getvalue()


def render_svg(figure: Figure) -> bytes:
    """Returns the SVG file of a figure; text is drawn as outlines, so that it needs no font."""
    content = io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": _SALT}):
        figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()


def render_pixels(figure: Figure) -> np.ndarray:
    """Returns the picture of a figure, uint8 [height, width, 3]."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]
