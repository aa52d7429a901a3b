from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.layers.initializers import glorot_uniform
from vae_lowlevel.randomness import make_seed


@pytest.mark.parametrize(
    ("shape", "limit"),
    [
        ([30, 70], math.sqrt(6 / 100)),
        # Each input feeds 3 x 3 x 24 outputs, each output 3 x 3 x 8 inputs.
        ([3, 3, 8, 24], math.sqrt(6 / (9 * 8 + 9 * 24))),
    ],
)
def test_draws_uniformly_between_the_limits_of_glorot_and_bengio(shape, limit):
    kernel = glorot_uniform(shape, make_seed(0))
    assert kernel.dtype == tf.float32
    assert kernel.shape == shape
    # The seed is fixed, so the p-value never changes.
    uniform = scipy.stats.uniform(-limit, 2 * limit)
    assert scipy.stats.kstest(kernel.numpy().ravel(), uniform.cdf).pvalue > 0.01
    assert np.max(np.abs(kernel)) < limit


def test_depends_on_the_seed_only():
    first = glorot_uniform([4, 5], make_seed(1)).numpy()
    tf.random.set_seed(99)
    tf.random.normal([7])
    np.testing.assert_array_equal(glorot_uniform([4, 5], make_seed(1)), first)
    assert not np.any(glorot_uniform([4, 5], make_seed(2)) == first)
