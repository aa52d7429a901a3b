from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import schedules


def values(schedule, steps):
    return [float(schedule(tf.constant(step, tf.int64))) for step in steps]


def test_constant_is_constant():
    assert values(schedules.constant(0.5), [0, 1, 10**6]) == [0.5, 0.5, 0.5]


def test_cosine_falls_from_the_peak_to_its_final_part_and_stays():
    schedule = schedules.cosine(2.0, total_steps=100, final_fraction=0.1)
    expected = [2.0, 0.2 + 1.8 * (2 + math.sqrt(2)) / 4, 1.1, 0.2 + 1.8 / 4, 0.2, 0.2]
    steps = [0, 25, 50, 200 / 3, 100, 1000]
    got = [float(schedule(tf.constant(step))) for step in steps]
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_exponential_falls_by_its_factor_smoothly():
    schedule = schedules.exponential(8.0, decay=0.25, decay_steps=10)
    np.testing.assert_allclose(values(schedule, [0, 5, 10, 20]), [8, 4, 2, 0.5], rtol=1e-6)


def test_exponential_without_decay_is_constant():
    assert values(schedules.exponential(2.0, decay=1.0, decay_steps=10), [0, 7]) == [2, 2]


def test_warmup_multiplies_the_schedule_under_it():
    schedule = schedules.with_warmup(schedules.constant(4.0), warmup_steps=4)
    assert values(schedule, [0, 1, 2, 3, 4, 100]) == [1, 2, 3, 4, 4, 4]
    schedule = schedules.with_warmup(schedules.exponential(8.0, 0.5, 1), warmup_steps=2)
    assert values(schedule, [0, 1, 2]) == [4, 4, 2]


def test_no_warmup_is_the_schedule_itself():
    schedule = schedules.constant(4.0)
    assert schedules.with_warmup(schedule, 0) is schedule


@pytest.mark.parametrize(
    "schedule",
    [
        schedules.constant(2.0),
        schedules.cosine(2.0, 10, 0.1),
        schedules.exponential(2.0, 0.9, 10),
        schedules.with_warmup(schedules.constant(2.0), 10),
    ],
)
def test_step_is_a_tensor_of_the_graph(schedule):
    traced = tf.function(schedule, input_signature=[tf.TensorSpec([], tf.int64)])
    rate = traced(tf.constant(3, tf.int64))
    assert rate.dtype == tf.float32
    assert rate.shape == []
    np.testing.assert_allclose(rate, values(schedule, [3])[0], rtol=1e-6)
