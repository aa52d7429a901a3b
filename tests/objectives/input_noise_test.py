from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.objectives.input_noise import binarize, build_corruption, compose
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch

B, H, W = 200, 6, 5
KINDS = ("gaussian", "mask", "salt_and_pepper")


def make_noise(first_row=0, rows=B, seed=0):
    return BatchNoise(make_seed(seed), first_row, rows, B)


def corrupt(kind, strength, image, noise=None):
    clean = Batch(tf.constant(image, tf.float32), tf.range(len(image)))
    batch = build_corruption(kind, strength)(clean, noise or make_noise())
    # The target and the labels stay as they are.
    assert batch.image is clean.image
    assert batch.label is clean.label
    return batch.encoder_input.numpy()


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


def show(image, *, seed=0, first_row=0, rows=None):
    rows = rows or len(image)
    noise = BatchNoise(make_seed(seed), first_row, rows, len(image))
    batch = Batch(tf.constant(image[first_row : first_row + rows]), tf.range(rows))
    drawn = binarize(batch, noise)
    assert drawn.label is batch.label
    assert drawn.encoder_input is drawn.image
    return drawn.image.numpy()


def test_pixels_are_1_with_the_probability_of_their_grey_level():
    grey = np.array([0.0, 0.01, 0.5, 0.9, 1.0], np.float32)
    drawn = show(np.tile(grey[:, None, None], [4000, 1, 1, 1]))
    assert set(np.unique(drawn)) == {0.0, 1.0}
    counts = drawn.sum((0, 2, 3))
    assert (counts[0], counts[-1]) == (0, 4000)
    for count, probability in zip(counts[1:-1], grey[1:-1].tolist(), strict=True):
        assert scipy.stats.binomtest(int(count), 4000, probability).pvalue > 0.001


def test_each_step_draws_anew_and_each_replica_its_rows():
    image = np.random.default_rng(0).uniform(size=[6, 5, 5, 1]).astype(np.float32)
    whole = show(image)
    np.testing.assert_array_equal(show(image), whole)
    assert np.any(show(image, seed=1) != whole)
    parts = [show(image, first_row=row, rows=2) for row in (0, 2, 4)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_black_and_white_images_stay_as_they_are():
    image = np.random.default_rng(0).integers(0, 2, [50, 9, 9, 1]).astype(np.float32)
    np.testing.assert_array_equal(show(image), image)


def test_transforms_are_applied_in_order():
    image = np.random.default_rng(0).uniform(size=[B, H, W, 1]).astype(np.float32)
    batch, noise = Batch(tf.constant(image), tf.range(B)), make_noise()
    corruption = build_corruption("mask", 0.5)
    both = compose(binarize, None, corruption)(batch, noise)
    np.testing.assert_array_equal(both.image, binarize(batch, noise).image)
    np.testing.assert_array_equal(
        both.encoder_input, corruption(binarize(batch, noise), noise).encoder_input
    )
    assert compose(None, None) is None
