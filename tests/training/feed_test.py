from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.training.feed import ResidentFeed


class Order:
    steps_per_epoch = 5

    def block(self, step, steps):
        return (
            (np.arange(step * 3, (step + steps) * 3) % 15)
            .reshape(steps, 3)
            .astype(np.int32)[:, ::-1]
        )


def feed(call_steps):
    images = tf.reshape(tf.range(15, dtype=tf.int32), [15, 1, 1, 1])
    return ResidentFeed(tf.cast(images, tf.uint8), tf.range(15), Order(), call_steps)


def test_calls_cover_the_steps_asked_for():
    for call_steps in (1, 2, 10):
        made = feed(call_steps)
        assert made.call_steps == call_steps
        calls = list(made.calls(1, 3))
        rows = np.concatenate([call.order[: int(call.steps)] for call in calls])
        np.testing.assert_array_equal(rows, Order().block(1, 3))
        assert {tuple(call.order.shape) for call in calls} == {(call_steps, 3)}
