"""What each call of the train block receives: images, labels and which of them each step uses."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import ConfigError, DataError


class Call(NamedTuple):
    """The arguments of one call of the train block.

    Attributes:
        images: uint8 [N, H, W, C].
        labels: int32 [N].
        order: int32 [call_steps, batch_size], rows of `images` for each step.
        steps: int32 scalar, how many rows of `order` count.
    """

    images: Any
    labels: Any
    order: tf.Tensor
    steps: tf.Tensor


class Feed(Protocol):
    """Supplies the train block with data, by global step number alone, so that a run can resume.

    Attributes:
        steps_per_epoch: whole batches per epoch.
        call_steps: most steps of one call.
    """

    steps_per_epoch: int
    call_steps: int

    def calls(self, step: int, steps: int) -> Iterator[Call]:
        """Yields the calls that train global steps step..step+steps-1, which lie in one epoch."""


class Order(Protocol):
    """Which examples each step uses."""

    steps_per_epoch: int

    def block(self, step: int, steps: int) -> np.ndarray:
        """Returns int32 [steps, batch_size], rows of the training split from step `step` on."""


class ResidentFeed:
    """All training data on the device, where each step gathers its rows.

    Args:
        images: uint8 [N, H, W, C], on the device; with several replicas, on each of them.
        labels: int32 [N], likewise.
        order: which rows each step uses.
        call_steps: most steps of one call.
    """

    def __init__(self, images: Any, labels: Any, order: Order, call_steps: int) -> None:
        self.steps_per_epoch = order.steps_per_epoch
        self._images = images
        self._labels = labels
        self._order = order
        self.call_steps = call_steps

    def calls(self, step: int, steps: int) -> Iterator[Call]:
        """See `Feed.calls`."""
        order = self._order.block(step, steps)
        for first in range(0, steps, self.call_steps):
            rows = order[first : first + self.call_steps]
            padded = np.zeros([self.call_steps, order.shape[1]], np.int32)
            padded[: len(rows)] = rows
            yield Call(self._images, self._labels, tf.constant(padded), tf.constant(len(rows)))


MOST_CALL_BYTES = 64 * 2**20


class BatchStream(Protocol):
    """Reads the batches of an epoch, for example `data.records.stream.RecordStream`."""

    image_shape: tuple[int, int, int]

    def batches(
        self, seed: int, epoch: int, step: int, batch_size: int, worker: int, workers: int
    ) -> tf.data.Dataset:
        """Returns a worker's rows of the batches from `step` of an epoch on."""

    def named_damage(self) -> AbstractContextManager[None]:
        """Turns TensorFlow's errors while batches are read into a `DataError`."""


class StreamedFeed:
    """Reads batches ahead of training, and stacks those of a call.

    Attributes:
        steps_per_epoch: whole batches per epoch.
        call_steps: most steps of one call: its images are at most 64 MiB, or it is 1.
    """

    def __init__(
        self,
        stream: BatchStream,
        *,
        steps_per_epoch: int,
        batch_size: int,
        seed: int,
        call_steps: int,
        worker: int = 0,
        workers: int = 1,
        device: str | None = None,
    ) -> None:
        """Makes the feed; it opens nothing yet.

        Args:
            stream: the training split.
            steps_per_epoch: whole batches per epoch, at least 1.
            batch_size: examples per step, over all workers.
            seed: of the run.
            call_steps: most steps of one call.
            worker: the part of every batch that this process trains on, from 0.
            workers: how many processes share a batch.
            device: where batches are put ahead of time, as "/GPU:0"; None for host memory.

        Raises:
            ConfigError: the workers cannot share a batch evenly.
        """
        if batch_size % workers:
            raise ConfigError(
                f"--batch_size={batch_size} must be a multiple of the {workers} workers that share "
                "it"
            )
        self._rows = batch_size // workers
        step_bytes = self._rows * math.prod(stream.image_shape)
        self.call_steps = max(1, min(call_steps, MOST_CALL_BYTES // step_bytes))
        self.steps_per_epoch = steps_per_epoch
        self._stream = stream
        self._batch_size = batch_size
        self._seed = seed
        self._worker = worker
        self._workers = workers
        self._device = device
        self._order = self._stacked_order()
        self._batches: Iterator = iter(())
        self._next_step = -1

    def calls(self, step: int, steps: int) -> Iterator[Call]:
        """See `Feed.calls`. The order of a call's own rows is the one in which they are stacked."""
        for first in range(step, step + steps, self.call_steps):
            count = min(self.call_steps, step + steps - first)
            batches = [self._batch(first + index) for index in range(count)]
            images, labels = batches[0]
            if self.call_steps > 1:
                # One shape for all calls, so that the train block is traced once.
                empty = [tuple(map(tf.zeros_like, batches[0]))] * (self.call_steps - count)
                images, labels = (
                    tf.concat(parts, 0) for parts in zip(*batches, *empty, strict=True)
                )
            yield Call(images, labels, self._order, tf.constant(count))

    def _batch(self, step: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns this worker's images and labels of a global step.

        Raises:
            DataError: a file is damaged, or there are fewer examples than there were.
        """
        with self._stream.named_damage():
            if step != self._next_step or step % self.steps_per_epoch == 0:
                self._batches = self._open(step)
            self._next_step = step + 1
            batch = next(self._batches, None)
        if batch is None:
            epoch, index = divmod(step, self.steps_per_epoch)
            raise DataError(
                f"expected {self.steps_per_epoch} batches of {self._batch_size} examples in epoch "
                f"{epoch + 1}, found {index}: the data were reduced while they were read"
            )
        return batch

    def _open(self, step: int) -> Iterator:
        """Starts to read at a global step."""
        epoch, first = divmod(step, self.steps_per_epoch)
        batches = self._stream.batches(
            self._seed, epoch, first, self._batch_size, self._worker, self._workers
        )
        # One call is read while the device works on another.
        ahead = batches.prefetch(self.call_steps)
        if self._device is not None:
            ahead = ahead.apply(tf.data.experimental.prefetch_to_device(self._device))
        return iter(ahead)

    def _stacked_order(self) -> tf.Tensor:
        """Returns int32 [call_steps, batch_size]: where in the stack each own row is; else 0."""
        order = np.zeros([self.call_steps, self._batch_size], np.int32)
        own = slice(self._worker * self._rows, (self._worker + 1) * self._rows)
        order[:, own] = np.arange(self.call_steps * self._rows).reshape(self.call_steps, -1)
        return tf.constant(order)
