import xml.etree.ElementTree as ElementTree

import matplotlib
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from vae_lowlevel.plots.rendering import render_pixels, render_png, render_svg


def test_a_figure_has_its_size_and_colors():
    figure = Figure(figsize=(3, 2), dpi=50, facecolor="red")
    picture = tf.io.decode_png(render_png(figure), channels=3).numpy()
    assert picture.shape == (100, 150, 3)
    np.testing.assert_array_equal(np.unique(picture.reshape(-1, 3), axis=0), [[255, 0, 0]])
    np.testing.assert_array_equal(render_pixels(figure), picture)


def line():
    figure = Figure(figsize=(2, 1))
    figure.add_subplot().plot([0.0, 1.0], label="a < b")
    figure.legend()
    return figure


def test_files_of_equal_figures_are_equal():
    before = dict(matplotlib.rcParams)
    assert render_svg(line()) == render_svg(line())
    assert render_png(line()) == render_png(line())
    assert dict(matplotlib.rcParams) == before


def test_svg_is_a_drawing_of_the_size_of_the_figure():
    root = ElementTree.fromstring(render_svg(line()))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    # In points, 72 per inch.
    assert (root.get("width"), root.get("height")) == ("144pt", "72pt")
    assert root.findall(".//{http://www.w3.org/2000/svg}path")
