from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.distributions.bounds import inverse_soft_clip, soft_clip


def test_is_bounded_and_the_identity_near_0():
    np.testing.assert_allclose(soft_clip(tf.constant([-1e30, 1e30]), 3.0), [-3, 3])
    np.testing.assert_allclose(soft_clip(tf.constant([0.0, 0.01]), 3.0), [0, 0.01], atol=1e-6)


@pytest.mark.parametrize("y", [-4.6, 0.0, 2.0])
def test_inverse_gives_back(y):
    np.testing.assert_allclose(soft_clip(inverse_soft_clip(y, 5.0), 5.0), y, rtol=1e-5, atol=1e-7)
