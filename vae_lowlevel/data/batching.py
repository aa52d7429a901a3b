"""Which examples make up each batch: shuffled for training, padded and masked for evaluation.

All orders come from Philox in NumPy, keyed by a purpose and numbers such as seed and epoch. They do
not depend on TensorFlow, its version or the device.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples, StreamedExamples


def raw_draws(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns raw Philox output for a purpose, which NumPy keeps stable across versions.

    Args:
        count: number of draws.
        purpose: what they are for. Calls with the same purpose must pass the same number of
            `numbers`: NumPy does not distinguish a seed of (5,) from (5, 0).
        *numbers: what else the draws depend on, each in [0, 2**32).

    Returns:
        uint64 [count].
    """
    return np.random.Philox([zlib.crc32(purpose.encode()), *numbers]).random_raw(count)


def permutation(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns a random permutation of 0..count-1.

    It sorts raw draws because `Generator.permutation` may change between versions (NEP 19).

    Args:
        count: size of the permutation.
        purpose: as in `raw_draws`.
        *numbers: as in `raw_draws`.

    Returns:
        int32 [count].
    """
    return np.argsort(raw_draws(count, purpose, *numbers), kind="stable").astype(np.int32)


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Returns the order in which an epoch visits the examples.

    Args:
        seed: seed of the run, in [0, 2**32).
        epoch: number of the epoch, from 0.
        count: number of examples.

    Returns:
        int32 [count], a permutation of 0..count-1.
    """
    return permutation(count, "epoch_order", seed, epoch)


def count_steps(count: int, batch_size: int) -> int:
    """Returns the number of complete batches in an epoch.

    Args:
        count: number of training examples.
        batch_size: number of examples per step.

    Raises:
        ConfigError: there are fewer examples than one batch.
    """
    if batch_size > count:
        raise ConfigError(
            f"--batch_size={batch_size} must be at most the {count} training examples that "
            "--validation_size leaves; lower one of the two"
        )
    return count // batch_size


class BatchOrder:
    """The examples of every training step, by global step number.

    Each epoch follows its own permutation and drops the remainder, so that all batches have one
    size. The order depends only on seed and step number, so a resumed run continues in the same
    order.

    Attributes:
        steps_per_epoch: number of complete batches in an epoch, at least 1.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        """Creates the order.

        Args:
            count: number of training examples.
            batch_size: number of examples per step.
            seed: seed of the run, in [0, 2**32).

        Raises:
            ConfigError: there are fewer examples than one batch.
        """
        self.steps_per_epoch = count_steps(count, batch_size)
        self._count = count
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._batches = np.empty([0, batch_size], np.int32)

    def block(self, step: int, steps: int) -> np.ndarray:
        """Returns the examples of global steps step..step+steps-1, which may cross epochs.

        Args:
            step: the first step, counted from 0 over the whole run.
            steps: number of steps.

        Returns:
            int32 [steps, batch_size], row numbers of the training split.
        """
        block = np.empty([steps, self._batch_size], np.int32)
        filled = 0
        while filled < steps:
            epoch, first = divmod(step + filled, self.steps_per_epoch)
            batches = self._batches_of(epoch)[first : first + steps - filled]
            block[filled : filled + len(batches)] = batches
            filled += len(batches)
        return block

    def _batches_of(self, epoch: int) -> np.ndarray:
        """Returns int32 [steps_per_epoch, batch_size]; caches one epoch."""
        if epoch != self._epoch:
            order = epoch_order(self._seed, epoch, self._count)
            complete = order[: self.steps_per_epoch * self._batch_size]
            self._batches = complete.reshape(self.steps_per_epoch, self._batch_size)
            self._epoch = epoch
        return self._batches


def choose_examples(split: Examples | StreamedExamples, count: int, seed: int) -> Examples:
    """Returns some examples of a split, drawn at random, in their order; all if there are fewer.

    Args:
        split: N examples, in memory or on disk.
        count: how many are wanted.
        seed: of the choice, in [0, 2**32).
    """
    chosen = permutation(len(split), "examples", seed)[:count]
    return split[np.sort(chosen)]


def padded_batches(examples: Examples, batch_size: int) -> Iterator[tuple[Examples, np.ndarray]]:
    """Yields all examples in order, in batches of one size, and a mask of the real rows.

    Args:
        examples: a split of N examples; N may be 0.
        batch_size: number of rows per batch, B.

    Yields:
        B examples, the last batch padded with row 0 of the split; and float32 [B], 1 for an
        example and 0 for padding.
    """
    for first in range(0, len(examples), batch_size):
        rows = np.arange(first, first + batch_size)
        real = rows < len(examples)
        yield examples[np.where(real, rows, 0)], real.astype(np.float32)
