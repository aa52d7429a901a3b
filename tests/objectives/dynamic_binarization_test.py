from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.objectives.dynamic_binarization import DynamicBinarization
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch


class Seen:
    """An objective that keeps what it was shown."""

    terms = ("loss", "elbo")
    schedules = "schedules"

    def score(self, means):
        return means["elbo"]

    def __call__(self, *given):
        self.given = given
        return "terms"


def show(image, *, seed=0, first_row=0, rows=None):
    seen = Seen()
    rows = rows or len(image)
    noise = BatchNoise(make_seed(seed), first_row, rows, len(image))
    batch = Batch(image[first_row : first_row + rows], tf.range(rows))
    result = DynamicBinarization(seen)("model", batch, noise, 7, "global mean")
    assert result == "terms"
    assert (seen.given[0], *seen.given[2:]) == ("model", noise, 7, "global mean")
    np.testing.assert_array_equal(seen.given[1].label, np.arange(rows))
    return seen.given[1].image.numpy()


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


@pytest.mark.parametrize("name", ["terms", "schedules"])
def test_the_rest_is_the_objective_s(name):
    assert getattr(DynamicBinarization(Seen()), name) == getattr(Seen, name)


def test_best_weights_are_chosen_as_by_the_objective():
    assert DynamicBinarization(Seen()).score({"elbo": -2.0}) == -2.0
