from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.optimizers.clipping import clip_gradients, global_norm_by_products

# The global norm is sqrt(9 + 16 + 144) = 13.
GRADIENTS = [np.array([[3.0, 4.0]], np.float32), np.array([-12.0], np.float32)]


def assert_gradients_equal(found, expected, **tolerance):
    for gradient, values in zip(found, expected, strict=True):
        assert gradient.dtype == tf.float32
        np.testing.assert_allclose(gradient, values, **tolerance)


def test_gradients_above_the_norm_are_scaled_together():
    safe = clip_gradients(GRADIENTS, 6.5)
    assert_gradients_equal(safe.gradients, [[[1.5, 2.0]], [-6.0]], rtol=1e-6)
    np.testing.assert_allclose(safe.norm, 13.0, rtol=1e-6)
    assert safe.is_finite


@pytest.mark.parametrize("jit_compile", [False, True])
def test_the_norm_by_products_is_that_of_all_numbers_of_all_shapes(jit_compile):
    rng = np.random.default_rng(0)
    shapes = [(), (7,), (30, 20), (3, 3, 4, 5), (1, 9)]
    gradients = [rng.standard_normal(shape).astype(np.float32) for shape in shapes]
    norm = tf.function(lambda: global_norm_by_products(gradients), jit_compile=jit_compile)()
    expected = math.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in gradients))
    np.testing.assert_allclose(norm, expected, rtol=1e-6)
    np.testing.assert_allclose(tf.linalg.global_norm(gradients), expected, rtol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 13.001, 1e30])
def test_gradients_below_the_norm_are_untouched(clip_norm):
    safe = clip_gradients(GRADIENTS, clip_norm)
    assert_gradients_equal(safe.gradients, GRADIENTS, rtol=0)
    np.testing.assert_allclose(safe.norm, 13.0, rtol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_zero_gradients_stay_zero(clip_norm):
    safe = clip_gradients([tf.zeros([2]), tf.zeros([])], clip_norm)
    assert_gradients_equal(safe.gradients, [[0, 0], 0], rtol=0)
    assert safe.norm == 0
    assert safe.is_finite


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("global_norm", [tf.linalg.global_norm, global_norm_by_products])
def test_one_bad_number_zeroes_all_gradients(bad, clip_norm, global_norm):
    safe = clip_gradients([GRADIENTS[0], tf.constant([1.0, bad])], clip_norm, global_norm)
    assert not safe.is_finite
    assert not np.isfinite(safe.norm)
    assert_gradients_equal(safe.gradients, [[[0, 0]], [0, 0]], rtol=0)
