"""Which examples make up each batch: shuffled for training, padded and masked for evaluation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Examples


def permutation(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns a permutation of 0..count-1 drawn for a purpose.

    It sorts raw draws, for `Generator.permutation` may change (NEP 19).

    Args:
        count: how many.
        purpose: as in `raw_draws`.
        *numbers: likewise.

    Returns:
        int32 [count].
    """
    return np.argsort(raw_draws(count, purpose, *numbers), kind="stable").astype(np.int32)


def raw_draws(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns the raw output of Philox for a purpose, which NumPy keeps stable across versions.

    Args:
        count: how many.
        purpose: what it is for. The same purpose takes the same number of `numbers` each time:
            NumPy does not tell a seed of (5,) from (5, 0).
        *numbers: whatever else it depends on, each in [0, 2**32).

    Returns:
        uint64 [count].
    """
    return np.random.Philox([zlib.crc32(purpose.encode()), *numbers]).random_raw(count)


def epoch_order(seed: int, epoch: int, count: int) -> np.ndarray:
    """Returns the order in which an epoch visits the examples.

    Args:
        seed: of the run, in [0, 2**32).
        epoch: counted from 0.
        count: how many examples there are.

    Returns:
        int32 [count], a permutation of 0..count-1.
    """
    return permutation(count, "epoch_order", seed, epoch)


def count_steps(count: int, batch_size: int) -> int:
    """Returns how many whole batches an epoch has.

    Args:
        count: how many training examples there are.
        batch_size: examples a step.

    Raises:
        ConfigError: there is less than one batch.
    """
    if batch_size > count:
        raise ConfigError(
            f"--batch_size={batch_size} must be at most the {count} training examples that "
            "--validation_size leaves; lower one of the two"
        )
    return count // batch_size


class BatchOrder:
    """The examples of every training step, by global step number.

    Each epoch goes through its own permutation and drops the remainder, so that all batches have
    one size. Nothing but the step number decides, so a resumed run goes on in the same order.

    Attributes:
        steps_per_epoch: whole batches in an epoch, at least 1.
    """

    def __init__(self, count: int, batch_size: int, seed: int) -> None:
        """Makes the order.

        Args:
            count: how many training examples there are.
            batch_size: examples a step.
            seed: of the run, in [0, 2**32).

        Raises:
            ConfigError: there is less than one batch.
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
            steps: how many.

        Returns:
            int32 [steps, batch_size], rows of the training split.
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
        """Returns int32 [steps_per_epoch, batch_size]; keeps that of one epoch."""
        if epoch != self._epoch:
            order = epoch_order(self._seed, epoch, self._count)
            whole = order[: self.steps_per_epoch * self._batch_size]
            self._batches = whole.reshape(self.steps_per_epoch, self._batch_size)
            self._epoch = epoch
        return self._batches


def padded_batches(examples: Examples, batch_size: int) -> Iterator[tuple[Examples, np.ndarray]]:
    """Yields all examples in order, in batches of one size, each example counted once.

    Args:
        examples: a split, N of them; N may be 0.
        batch_size: examples a batch, B.

    Yields:
        B examples, the last batch filled up with row 0 of the split; and float32 [B], 1 for an
        example and 0 for filling.
    """
    for first in range(0, len(examples), batch_size):
        rows = np.arange(first, first + batch_size)
        real = rows < len(examples)
        yield examples[np.where(real, rows, 0)], real.astype(np.float32)
