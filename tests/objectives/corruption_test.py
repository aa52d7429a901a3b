from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.objectives.corruption import build_corruption
from vae_lowlevel.randomness import BatchNoise, make_seed

B, H, W = 200, 6, 5
KINDS = ("gaussian", "mask", "salt_and_pepper")


def make_noise(first_row=0, rows=B, seed=0):
    return BatchNoise(make_seed(seed), first_row, rows, B)


def corrupt(kind, strength, image, noise=None):
    corrupted = build_corruption(kind, strength)(
        tf.constant(image, tf.float32), noise or make_noise()
    )
    return corrupted.numpy()


def grey(level, channels=1):
    return np.full([B, H, W, channels], level, np.float32)


def test_none_is_no_corruption():
    assert build_corruption("none", 0.3) is None


def test_gaussian_adds_normal_noise_of_the_given_scale():
    added = corrupt("gaussian", 0.05, grey(0.5)) - 0.5
    # No value comes near the bounds, ten scales away; the seed is fixed, so is the p-value.
    assert scipy.stats.kstest(added.ravel() / 0.05, "norm").pvalue > 0.01
    # Every channel has noise of its own.
    coloured = corrupt("gaussian", 0.05, grey(0.5, channels=3)) - 0.5
    assert abs(np.corrcoef(coloured[..., 0].ravel(), coloured[..., 1].ravel())[0, 1]) < 0.05


def test_gaussian_is_clipped_to_the_range_of_images():
    corrupted = corrupt("gaussian", 0.5, grey(0.0))
    assert corrupted.min() == 0.0
    assert corrupted.max() <= 1.0
    # Half of the noise is negative.
    assert np.mean(corrupted == 0.0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("strength", [0.1, 0.6])
def test_mask_blackens_that_part_of_the_pixels_in_all_channels(strength):
    corrupted = corrupt("mask", strength, grey(0.7, channels=3))
    black = (corrupted == 0.0).all(-1)
    np.testing.assert_array_equal(black, (corrupted == 0.0).any(-1))
    pixels = black.size
    assert scipy.stats.binomtest(int(black.sum()), pixels, strength).pvalue > 0.01
    np.testing.assert_array_equal(corrupted[~black], np.float32(0.7))


def test_salt_and_pepper_gives_as_many_white_as_black_pixels():
    corrupted = corrupt("salt_and_pepper", 0.3, grey(0.7, channels=3))
    for value in (0.0, 1.0):
        whole = (corrupted == value).all(-1)
        np.testing.assert_array_equal(whole, (corrupted == value).any(-1))
        assert scipy.stats.binomtest(int(whole.sum()), whole.size, 0.15).pvalue > 0.01
    rest = (corrupted != 0.0) & (corrupted != 1.0)
    np.testing.assert_array_equal(corrupted[rest], np.float32(0.7))


@pytest.mark.parametrize("kind", ["mask", "salt_and_pepper"])
def test_strength_1_leaves_no_pixel(kind):
    assert set(np.unique(corrupt(kind, 1.0, grey(0.7)))) <= {0.0, 1.0}


@pytest.mark.parametrize("kind", KINDS)
def test_replicas_corrupt_the_rows_of_one(kind):
    image = np.random.default_rng(0).uniform(size=[B, H, W, 1])
    whole = corrupt(kind, 0.3, image)
    half = corrupt(kind, 0.3, image[B // 2 :], make_noise(B // 2, B // 2))
    np.testing.assert_array_equal(half, whole[B // 2 :])
    assert np.any(corrupt(kind, 0.3, image, make_noise(seed=1)) != whole)
