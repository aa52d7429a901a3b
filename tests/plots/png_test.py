import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.plots.png import encode_png


@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_is_read_back(channels):
    image = np.random.default_rng(0).integers(0, 256, [7, 5, channels]).astype(np.uint8)
    np.testing.assert_array_equal(tf.io.decode_png(encode_png(image)), image)
