from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.optimizers.loss_scale import INITIAL_SCALE, LARGEST_SCALE, LossScale


@pytest.mark.parametrize("jit_compile", [False, True])
def test_scale_halves_on_overflow_and_doubles_after_good_steps_in_a_row(jit_compile):
    loss_scale = LossScale(growth_steps=3)
    update = tf.function(loss_scale.update, jit_compile=jit_compile)
    course = []
    for is_finite in [1, 1, 0, 0, 1, 1, 1, 1, 1, 0, 1]:
        update(tf.constant(bool(is_finite)))
        course.append((float(loss_scale.scale) / INITIAL_SCALE, int(loss_scale.good_steps)))
    assert course == [
        (1, 1),
        (1, 2),
        (0.5, 0),
        (0.25, 0),
        (0.25, 1),
        (0.25, 2),
        (0.5, 0),
        (0.5, 1),
        (0.5, 2),
        (0.25, 0),
        (0.25, 1),
    ]


def test_scale_stays_between_1_and_its_largest():
    loss_scale = LossScale(growth_steps=1)
    for _ in range(40):
        loss_scale.update(tf.constant(False))
    assert float(loss_scale.scale) == 1.0
    for _ in range(40):
        loss_scale.update(tf.constant(True))
    assert float(loss_scale.scale) == LARGEST_SCALE


def test_gradients_come_back_unscaled_where_float16_would_have_lost_them():
    loss_scale = LossScale(growth_steps=10)
    variable = tf.Variable(3.0)
    with tf.GradientTape() as tape:
        # Through float16 the slope 1e-8 is 0, for the smallest number there is 6e-8.
        loss = loss_scale.scale_loss(1e-8 * tf.cast(tf.cast(variable, tf.float16), tf.float32))
    (gradient,) = loss_scale.unscale([tape.gradient(loss, variable)])
    np.testing.assert_allclose(gradient, 1e-8, rtol=1e-3)
    with tf.GradientTape() as tape:
        loss = 1e-8 * tf.cast(tf.cast(variable, tf.float16), tf.float32)
    assert float(tape.gradient(loss, variable)) == 0.0
