from __future__ import annotations

import numpy as np
import pytest

from vae_lowlevel.data.images import pad_images
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples


def examples(height, width):
    image = np.random.default_rng(0).integers(1, 256, [2, height, width, 3], np.uint8)
    return Examples(image, np.array([4, 5], np.int32), np.ones([2, 1], np.float32))


def test_zeros_surround_the_image():
    given = examples(28, 27)
    padded = pad_images(given, 32)
    assert padded.image.shape == (2, 32, 32, 3)
    np.testing.assert_array_equal(padded.image[:, 2:30, 2:29], given.image)
    assert np.count_nonzero(padded.image) == given.image.size
    assert padded.label is given.label
    assert padded.factors is given.factors


def test_a_size_that_is_reached_changes_nothing():
    np.testing.assert_array_equal(pad_images(examples(8, 8), 8).image, examples(8, 8).image)


def test_larger_images_are_refused():
    with pytest.raises(ConfigError, match=r"--pad_to=8 must be at least .* found 6 x 9"):
        pad_images(examples(6, 9), 8)
