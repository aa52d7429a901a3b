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


def test_linear_rises_from_0_and_stays():
    schedule = schedules.linear(4.0, warmup_steps=8)
    assert values(schedule, [0, 1, 2, 4, 7, 8, 9, 1000]) == [0, 0.5, 1, 2, 3.5, 4, 4, 4]


def test_linear_takes_a_part_of_a_step():
    schedule = schedules.linear(1.0, warmup_steps=2.5)
    np.testing.assert_allclose(values(schedule, [0, 1, 2, 3]), [0, 0.4, 0.8, 1], rtol=1e-6)


def test_cyclical_rises_stays_and_starts_again():
    schedule = schedules.cyclical(2.0, cycle_steps=8, ramp_fraction=0.5)
    one_cycle = [0, 0.5, 1, 1.5, 2, 2, 2, 2]
    assert values(schedule, range(24)) == one_cycle * 3


def test_cyclical_with_a_full_ramp_is_a_saw():
    schedule = schedules.cyclical(1.0, cycle_steps=4, ramp_fraction=1.0)
    assert values(schedule, range(8)) == [0, 0.25, 0.5, 0.75] * 2


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
        schedules.linear(2.0, 10),
        schedules.cyclical(2.0, 10, 0.5),
        schedules.cosine(2.0, 10, 0.1),
        schedules.exponential(2.0, 0.9, 10),
        schedules.with_warmup(schedules.constant(2.0), 10),
    ],
)
def test_step_is_a_tensor_of_the_graph(schedule):
    traced = tf.function(schedule, input_signature=[tf.TensorSpec([], tf.int64)])
    value = traced(tf.constant(3, tf.int64))
    assert value.dtype == tf.float32
    assert value.shape == []
    np.testing.assert_allclose(value, values(schedule, [3])[0], rtol=1e-6)
