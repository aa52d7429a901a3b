from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.discretized_logistic import LEVELS, DiscretizedLogistic
from vae_lowlevel.randomness import make_seed

GREY = (np.arange(LEVELS) / (LEVELS - 1)).astype(np.float32)
SCALES = [0.0068, 0.05, 0.5, 20.0]
LOCS = [0.0, 0.003, 0.4, 1.0]


def masses(loc, scale):
    return tf.math.exp(DiscretizedLogistic(loc, scale).log_prob(GREY)).numpy().astype(np.float64)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loc", LOCS)
def test_masses_of_all_levels_sum_to_1(loc, scale):
    np.testing.assert_allclose(masses(loc, scale).sum(), 1.0, rtol=2e-5)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loc", LOCS)
def test_masses_are_those_of_the_bins(loc, scale):
    edges = (np.arange(LEVELS - 1) + 0.5) / (LEVELS - 1)
    below = np.concatenate([[0], scipy.stats.logistic(loc, scale).cdf(edges), [1]])
    np.testing.assert_allclose(masses(loc, scale), np.diff(below), rtol=1e-3, atol=1e-7)


def test_far_from_loc_the_logarithm_stays_exact():
    # In the tail the density falls by exp(-1 / (255 scale)) a level, in logarithms 0.58 each.
    scale = 0.0068
    log_prob = DiscretizedLogistic(0.0, scale).log_prob(GREY[200:255]).numpy()
    np.testing.assert_allclose(np.diff(log_prob), [-1 / (255 * scale)] * 54, rtol=1e-3)
    assert log_prob[-1] < -140


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_gradients_are_finite_and_match_finite_differences(level):
    x = level / 255

    def reference(loc, log_scale):
        edges = (np.array([level - 0.5, level + 0.5]) / 255 - loc) / np.exp(log_scale)
        low = -np.inf if level == 0 else edges[0]
        high = np.inf if level == 255 else edges[1]
        return np.log(scipy.special.expit(high) - scipy.special.expit(low))

    at = np.array([0.45, np.log(0.1)])
    loc, log_scale = tf.constant(at[0], tf.float32), tf.constant(at[1], tf.float32)
    with tf.GradientTape() as tape:
        tape.watch([loc, log_scale])
        log_prob = DiscretizedLogistic(loc, tf.math.exp(log_scale)).log_prob(x)
    step = 1e-5 * np.eye(2)
    expected = [(reference(*(at + d)) - reference(*(at - d))) / 2e-5 for d in step]
    np.testing.assert_allclose(tape.gradient(log_prob, [loc, log_scale]), expected, rtol=1e-3)


@pytest.mark.parametrize(("loc", "scale"), [(0.0, 0.0068), (1.0, 148.0), (0.5, 0.0068)])
def test_extremes_are_finite_with_their_gradients(loc, scale):
    loc, scale = tf.constant(loc), tf.constant(scale)
    with tf.GradientTape() as tape:
        tape.watch([loc, scale])
        log_prob = DiscretizedLogistic(loc, scale).log_prob(GREY)
    assert np.all(np.isfinite(log_prob))
    assert np.all(np.isfinite(tape.gradient(log_prob, [loc, scale])))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("loc", LOCS)
def test_mean_is_that_over_the_levels_to_a_hundredth_of_a_level(loc, scale):
    mean = DiscretizedLogistic(loc, scale).mean()
    mass = masses(loc, scale)
    np.testing.assert_allclose(mean, (mass * GREY).sum() / mass.sum(), rtol=0, atol=0.01 / 255)


def test_draws_are_levels_with_their_masses():
    distribution = DiscretizedLogistic([0.02, 0.6], [0.05, 0.02])
    x = distribution.sample(20_000, seed=make_seed(0)).numpy()
    level = np.round(x * 255).astype(int)
    np.testing.assert_allclose(x, level / 255, atol=1e-6)
    for column, (loc, scale) in enumerate([(0.02, 0.05), (0.6, 0.02)]):
        counts = np.bincount(level[:, column], minlength=LEVELS)
        mass = masses(loc, scale)
        # Of the levels pooled to expect at least 20 each.
        group = np.cumsum(mass * len(x)) // 20
        expected = np.array([mass[group == g].sum() for g in np.unique(group)])
        found = np.array([counts[group == g].sum() for g in np.unique(group)])
        assert scipy.stats.chisquare(found, expected / expected.sum() * len(x)).pvalue > 0.001
