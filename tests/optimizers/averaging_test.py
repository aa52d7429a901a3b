from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.optimizers.averaging import AveragedModel


class Weights(tf.Module):
    def __init__(self, start):
        super().__init__()
        self.w = tf.Variable(start)


def test_average_follows_its_formula():
    rng = np.random.default_rng(0)
    values = rng.normal(size=[30, 3]).astype(np.float32)
    model, averaged = Weights(values[0]), AveragedModel(Weights(np.zeros(3, np.float32)), 0.6)
    averaged.start(model)
    expected = values[0].astype(np.float64)
    for t, value in enumerate(values[1:], start=1):
        model.w.assign(value)
        averaged.update(model, tf.constant(t, tf.int64), tf.constant(True))
        decay = min(0.6, (1 + t) / (10 + t))
        expected = decay * expected + (1 - decay) * value
        np.testing.assert_allclose(averaged.model.w, expected, rtol=1e-5, atol=1e-6)
    # Where the decay no longer grows (t >= 12.5), it is the plain exponential average.
    assert (1 + 13) / (10 + 13) > 0.6


@pytest.mark.parametrize("jit_compile", [False, True])
def test_skipped_step_changes_no_bit(jit_compile):
    model, averaged = Weights([0.1, 0.2]), AveragedModel(Weights([1 / 3, 1e-30]), 0.9)

    @tf.function(jit_compile=jit_compile)
    def update(is_finite):
        averaged.update(model, tf.constant(5, tf.int64), is_finite)

    before = averaged.model.w.numpy()
    update(tf.constant(False))
    np.testing.assert_array_equal(averaged.model.w, before)
    update(tf.constant(True))
    assert np.all(averaged.model.w.numpy() != before)
