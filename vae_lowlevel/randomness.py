"""Stateless randomness: seeds folded by purpose, noise drawn for the global batch.

A seed is int32 [2]. Every draw folds its seed from (run seed, purpose, step), so it does not depend
on the draws before it. The noise of a training step is drawn for the whole global batch and each
replica uses its rows, so the noise of an example does not depend on the number of replicas. From
the same seed, XLA draws other numbers than TensorFlow's kernels.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import tensorflow as tf

# TensorFlow's own choice. Unless it is named, the key is derived inside the program, which XLA for
# CPUs repeats for every number: twenty times as slow.
ALGORITHM = "philox"


def make_seed(run_seed: int) -> tf.Tensor:
    """Returns the root seed of a run, int32 [2]."""
    return tf.constant([run_seed, 0], tf.int32)


def fold(seed: tf.Tensor, data: str | int | tf.Tensor) -> tf.Tensor:
    """Derives a seed, int32 [2], from `seed` and a purpose (by its CRC-32) or a number."""
    if isinstance(data, str):
        data = zlib.crc32(data.encode()) & 0x7FFFFFFF
    # An int64 number, such as the step, would return an int64 seed with other values.
    return tf.random.experimental.stateless_fold_in(seed, tf.cast(data, tf.int32), alg=ALGORITHM)


class BatchNoise(NamedTuple):
    """Draws noise for the rows of a global batch that one replica holds.

    Attributes:
        seed: int32 [2], of this step.
        first_row: index of the first row of this replica in the global batch.
        rows: number of rows of this replica, static.
        global_rows: size of the global batch, static.
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
