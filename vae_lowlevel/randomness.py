"""Stateless randomness: seeds folded by purpose, noise drawn for the global batch.

A seed is int32 [2]. Every draw folds its seed from (run seed, purpose, step), so that nothing
depends on how often or in which order something was drawn before. Noise of a training step is
drawn for the whole global batch and each replica takes its rows: the number of replicas changes
no example's noise. From the same seed, XLA draws other numbers than TensorFlow's own kernels do.

Philox is also what TensorFlow chooses, but then it derives the key within the program, and XLA for
CPUs does so again for every number: twenty times as slow.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import tensorflow as tf

ALGORITHM = "philox"


def make_seed(run_seed: int) -> tf.Tensor:
    """Returns the root seed of a run, int32 [2]."""
    return tf.constant([run_seed, 0], tf.int32)


def fold(seed: tf.Tensor, data: str | int | tf.Tensor) -> tf.Tensor:
    """Derives a seed from `seed` and a purpose (by its CRC-32) or a number such as the step."""
    if isinstance(data, str):
        data = zlib.crc32(data.encode()) & 0x7FFFFFFF
    # An int64 number, such as the step, would make the seed int64 and another one.
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(data, tf.int32), alg=ALGORITHM)


class BatchNoise(NamedTuple):
    """Noise for the rows that one replica holds of a global batch.

    Attributes:
        seed: int32 [2], of this step.
        first_row: where this replica's rows begin in the global batch.
        rows: how many rows this replica holds, static.
        global_rows: the global batch size, static.
    """

    seed: tf.Tensor
    first_row: int | tf.Tensor
    rows: int
    global_rows: int

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Draws N(0, 1), float32 [rows, *shape]."""
        seed = fold(self.seed, purpose)
        shape = [self.global_rows, *shape]
        return self._own(tf.random.stateless_normal(shape, seed, alg=ALGORITHM))

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        """Draws U[0, 1), float32 [rows, *shape]."""
        seed = fold(self.seed, purpose)
        shape = [self.global_rows, *shape]
        return self._own(tf.random.stateless_uniform(shape, seed, alg=ALGORITHM))

    def _own(self, drawn: tf.Tensor) -> tf.Tensor:
        if self.rows == self.global_rows:
            return drawn
        size = [self.rows, *drawn.shape[1:]]
        return tf.slice(drawn, [self.first_row] + [0] * (len(size) - 1), size)
