from __future__ import annotations

import numpy as np
import pytest
import scipy.stats

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.images import CHUNK, binarize, binarize_examples
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.types import Dataset, Examples


def examples(count, seed=0):
    image = np.random.default_rng(seed).integers(0, 256, [count, 3, 4, 1]).astype(np.uint8)
    return Examples(image, np.arange(count, dtype=np.int32), np.ones([count, 2], np.float32))


@pytest.fixture
def dataset():
    return Dataset(examples(30), examples(5, 1), examples(6, 2), ("a", "b"))


def test_pixels_are_white_with_the_probability_of_their_grey_level():
    grey = np.repeat(np.array([0, 1, 64, 128, 254, 255], np.uint8), 20_000).reshape(-1, 10, 10, 1)
    drawn = binarize_examples(Examples(grey, np.zeros(len(grey), np.int32)), seed=0).image
    assert drawn.dtype == np.uint8
    assert set(np.unique(drawn)) == {0, 255}
    counts = (drawn == 255).reshape(6, -1).sum(-1)
    assert (counts[0], counts[-1]) == (0, 20_000)
    for count, level in zip(counts[1:-1], (1, 64, 128, 254), strict=True):
        assert scipy.stats.binomtest(int(count), 20_000, level / 255).pvalue > 0.001


def test_the_draw_of_an_example_does_not_depend_on_the_number_of_examples():
    many = examples(CHUNK + 7)
    whole = binarize_examples(many, seed=0).image
    for count in (3, CHUNK, CHUNK + 2):
        part = binarize_examples(many[:count], seed=0).image
        np.testing.assert_array_equal(part, whole[:count])
    assert np.any(binarize_examples(many, seed=1).image != whole)


def test_labels_and_factors_stay():
    drawn = binarize_examples(examples(9), seed=0)
    np.testing.assert_array_equal(drawn.label, np.arange(9))
    np.testing.assert_array_equal(drawn.factors, np.ones([9, 2]))


def test_static_draws_every_split_and_dynamic_leaves_training_grey(dataset):
    assert binarize(dataset, "none") is dataset
    static, dynamic = binarize(dataset, "static"), binarize(dataset, "dynamic")
    for split in ("train", "validation", "test"):
        assert set(np.unique(getattr(static, split).image)) == {0, 255}
    assert dynamic.train is dataset.train
    for split in ("validation", "test"):
        drawn = getattr(dynamic, split).image
        np.testing.assert_array_equal(drawn, getattr(static, split).image)
    assert static.class_names == ("a", "b")


def test_binarizing_twice_changes_nothing(dataset):
    once = binarize(dataset, "static")
    np.testing.assert_array_equal(binarize(once, "static").train.image, once.train.image)


def test_data_sets_are_binarized_as_configured():
    settings = {"image_size": 16, "shapes_examples": 60, "validation_size": 10}
    grey = load_dataset(DataConfig(**settings))
    drawn = load_dataset(DataConfig(**settings, binarize="static"))
    expected = binarize(grey, "static")
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(
            getattr(drawn, split).image, getattr(expected, split).image, split
        )
