import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.evaluation.structural_similarity import ssim


@pytest.mark.parametrize("shape", [(28, 28, 1), (20, 33, 3), (8, 8, 1), (5, 40, 2), (1, 1, 3)])
def test_it_is_that_of_tensorflow(shape):
    rng = np.random.default_rng(0)
    smooth = np.cumsum(rng.uniform(0, 0.1, [6, *shape]), axis=2).clip(0, 1).astype(np.float32)
    noisy = (smooth + rng.normal(0, 0.1, smooth.shape)).clip(0, 1).astype(np.float32)
    window = min(11, *shape[:2])
    expected = tf.image.ssim(smooth, noisy, max_val=1.0, filter_size=window)
    np.testing.assert_allclose(ssim(smooth, noisy), expected, rtol=1e-4, atol=1e-5)


def test_an_image_is_similar_to_itself_and_not_to_its_negative():
    image = np.random.default_rng(1).uniform(size=[2, 16, 16, 1]).astype(np.float32)
    np.testing.assert_allclose(ssim(image, image), 1.0, rtol=1e-5)
    assert np.all(ssim(image, 1.0 - image) < 0)


def test_a_constant_image_has_the_luminance_of_the_paper():
    dark, bright = (tf.fill([1, 12, 12, 1], value) for value in (0.2, 0.6))
    expected = (2 * 0.2 * 0.6 + 1e-4) / (0.2**2 + 0.6**2 + 1e-4)
    np.testing.assert_allclose(ssim(dark, bright), [expected], rtol=1e-3)
