from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.types import psnr


def test_each_tenth_of_the_error_is_ten_decibels():
    mse = tf.constant([[1.0, 0.1], [0.025, 1e-6]])
    np.testing.assert_allclose(psnr(mse), [[0.0, 10.0], [16.0206, 60.0]], rtol=1e-5, atol=1e-6)


def test_no_error_is_a_hundred_decibels():
    np.testing.assert_allclose(psnr(tf.constant([0.0, 1e-12])), [100.0, 100.0], rtol=1e-5)
