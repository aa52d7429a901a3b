from __future__ import annotations

import timeit

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed


def test_root_seed_is_the_run_seed():
    for run_seed in (0, 2**31 - 1):
        seed = make_seed(run_seed)
        assert seed.dtype == tf.int32
        np.testing.assert_array_equal(seed, [run_seed, 0])


def test_purpose_is_folded_by_its_crc32():
    # 0xCBF43926 is the published check value of CRC-32, for the text "123456789".
    seed = make_seed(5)
    folded = tf.random.experimental.stateless_fold_in(seed, 0xCBF43926 & 0x7FFFFFFF)
    np.testing.assert_array_equal(fold(seed, "123456789"), folded)
    assert folded.dtype == tf.int32


def test_seeds_of_different_runs_purposes_and_steps_differ():
    seeds = [
        tuple(fold(make_seed(run), data).numpy())
        for run in (0, 1, 2)
        for data in ("encoder", "decoder", 0, 1, 2)
    ]
    assert len(set(seeds)) == len(seeds)


def test_step_folds_alike_as_number_tensor_and_variable():
    seed = make_seed(1)
    step = tf.Variable(7, dtype=tf.int64)
    np.testing.assert_array_equal(fold(seed, 7), fold(seed, tf.constant(7, tf.int64)))
    np.testing.assert_array_equal(fold(seed, 7), fold(seed, tf.identity(step)))
    np.testing.assert_array_equal(fold(seed, 7), tf.function(lambda n: fold(seed, n))(step))


@pytest.mark.parametrize(
    ("draw", "rows", "jit_compile"),
    [("normal", 3, False), ("uniform", 3, False), ("normal", 1, False), ("normal", 3, True)],
)
def test_number_of_replicas_changes_no_row(draw, rows, jit_compile):
    def draw_rows(seed, first_row, rows):
        return getattr(BatchNoise(seed, first_row, rows, 6), draw)("z", (2, 3))

    # As in training: the first row is known only when the replica runs. XLA draws other numbers
    # than TensorFlow's kernels, but the same ones each time.
    compiled = tf.function(draw_rows, jit_compile=jit_compile)
    whole = compiled(make_seed(3), tf.constant(0), 6)
    assert whole.shape == [6, 2, 3]
    assert whole.dtype == tf.float32
    parts = [compiled(make_seed(3), tf.constant(first), rows) for first in range(0, 6, rows)]
    assert parts[0].shape == [rows, 2, 3]
    np.testing.assert_array_equal(tf.concat(parts, 0), whole)
    if not jit_compile:
        np.testing.assert_array_equal(draw_rows(make_seed(3), 0, 6), whole)


def test_draws_repeat_and_differ_by_purpose_and_seed():
    noise = BatchNoise(make_seed(3), 0, 4, 4)
    first = noise.normal("posterior", (5,)).numpy()
    np.testing.assert_array_equal(noise.normal("posterior", (5,)), first)
    assert not np.any(noise.normal("dropout", (5,)) == first)
    assert not np.any(noise._replace(seed=make_seed(4)).normal("posterior", (5,)) == first)


def test_draws_follow_their_distribution():
    noise = BatchNoise(make_seed(0), 0, 5000, 5000)
    normal = noise.normal("a", (2,)).numpy().ravel()
    uniform = noise.uniform("b", (2,)).numpy().ravel()
    # The seed is fixed, so these p-values never change.
    assert scipy.stats.kstest(normal, "norm").pvalue > 0.01
    assert scipy.stats.kstest(uniform, "uniform").pvalue > 0.01


def test_xla_draws_about_as_fast_as_tensorflow():
    noise = BatchNoise(make_seed(0), 0, 128, 128)

    def least_seconds(jit_compile):
        def draw(seed):
            return tf.reduce_sum(noise._replace(seed=seed).uniform("binarize", (784,)))

        compiled = tf.function(draw, jit_compile=jit_compile)
        compiled(make_seed(1))
        return min(timeit.repeat(lambda: compiled(make_seed(1)).numpy(), number=3, repeat=7))

    # Without a named algorithm: forty times as slow.
    assert least_seconds(jit_compile=True) < 8 * least_seconds(jit_compile=False)
