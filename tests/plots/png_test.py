import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from vae_lowlevel.plots.png import encode_png, render_png


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_read_back(channels):
    image = np.random.default_rng(0).integers(0, 256, [7, 5, channels]).astype(np.uint8)
    np.testing.assert_array_equal(tf.io.decode_png(encode_png(image)), image)


def test_a_figure_has_its_size_and_colors():
    figure = Figure(figsize=(3, 2), dpi=50, facecolor="red")
    picture = tf.io.decode_png(render_png(figure), channels=3).numpy()
    assert picture.shape == (100, 150, 3)
    np.testing.assert_array_equal(np.unique(picture.reshape(-1, 3), axis=0), [[255, 0, 0]])
