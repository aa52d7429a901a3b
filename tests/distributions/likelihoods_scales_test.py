from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.distributions.likelihoods import (
    LOG_SCALE_BOUND,
    FixedScale,
    LearnedScale,
    PixelScale,
)

RAW = np.array([-1e30, -1.0, 0.0, 1.0, 1e30], np.float32)


@pytest.mark.parametrize("initial", [0.0068, 0.1, 1.0, 100.0])
def test_starts_at_the_initial_scale(initial):
    for scale in (FixedScale(initial), LearnedScale(initial)):
        np.testing.assert_allclose(scale(tf.zeros([1, 0])), initial, rtol=1e-3)
    np.testing.assert_allclose(PixelScale(initial)(tf.zeros([3])), [initial] * 3, rtol=1e-3)


def test_fixed_scale_has_nothing_to_learn():
    assert not FixedScale(0.5).variables
    assert FixedScale(0.5).parameters_per_value == 0


def test_learned_scale_is_one_bounded_variable():
    scale = LearnedScale(0.1)
    (variable,) = scale.trainable_variables
    for raw, bound in [(-1e30, -LOG_SCALE_BOUND), (1e30, LOG_SCALE_BOUND)]:
        variable.assign(raw)
        np.testing.assert_allclose(scale(None), math.exp(bound), rtol=1e-5)
    assert scale.parameters_per_value == 0


def test_pixel_scale_grows_with_the_decoder_output_within_bounds():
    scale = PixelScale(0.1)
    values = scale(RAW).numpy()
    assert np.all(np.diff(values) > 0)
    np.testing.assert_allclose(values[[0, -1]], np.exp([-5, 5]), rtol=1e-5)
    assert scale.parameters_per_value == 1
    assert not scale.variables
