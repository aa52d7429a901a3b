from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.layers.shape import GlobalAveragePool


def test_averages_each_channel_over_the_image():
    x = np.random.default_rng(0).normal(size=[2, 3, 5, 4]).astype(np.float32)
    expected = x.reshape(2, 15, 4).astype(np.float64).mean(1)
    np.testing.assert_allclose(GlobalAveragePool()(x), expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_is_summed_in_float32():
    # Added one by one in bfloat16, 4096 ones stop at 256.
    pooled = GlobalAveragePool()(tf.ones([1, 64, 64, 1], tf.bfloat16))
    assert pooled.dtype == tf.float32
    np.testing.assert_array_equal(pooled, [[1.0]])
