import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf

from vae_lowlevel.evaluation.metrics import image_quality


def ssim_by_scipy(a, b, side):
    """Wang et al. 2004: Gaussian window of sigma 1.5 and `side` pixels, its inner part averaged."""
    grid = np.arange(side) - (side - 1) / 2
    window = np.exp(-(grid**2) / (2 * 1.5**2))
    window = np.outer(window, window) / window.sum() ** 2

    def mean(x):
        full = scipy.ndimage.correlate(x, window)
        edge = side // 2
        return full[edge : x.shape[0] - edge, edge : x.shape[1] - edge]

    c1, c2 = 0.01**2, 0.03**2
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    return np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))


@pytest.mark.parametrize("side", [28, 9])
def test_against_numpy_and_scipy(side):
    random = np.random.default_rng(0)
    a = random.random([3, side, side, 1]).astype(np.float32)
    b = np.clip(a + 0.2 * random.standard_normal(a.shape), 0, 1).astype(np.float32)
    quality = image_quality(tf.constant(a), tf.constant(b))
    mse = ((a - b).astype(float) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(quality["mse"], mse, rtol=1e-5)
    np.testing.assert_allclose(quality["psnr"], -10 * np.log10(mse), rtol=1e-5)
    expected = [
        ssim_by_scipy(x[..., 0].astype(float), y[..., 0].astype(float), min(11, side))
        for x, y in zip(a, b, strict=True)
    ]
    np.testing.assert_allclose(quality["ssim"], expected, atol=2e-3)


def test_a_perfect_reconstruction_is_finite():
    image = tf.random.stateless_uniform([2, 12, 12, 3], [0, 1])
    quality = image_quality(image, image)
    np.testing.assert_allclose(quality["psnr"], 100.0, rtol=1e-5)
    np.testing.assert_allclose(quality["ssim"], 1.0, rtol=1e-5)
