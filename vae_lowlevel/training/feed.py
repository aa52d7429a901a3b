"""What each call of the train block is given: images, labels and which of them a step takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf


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
    """Gives the train block its data, by global step number alone, so that a run can resume.

    Attributes:
        steps_per_epoch: whole batches in an epoch.
        call_steps: most steps of one call.
    """

    steps_per_epoch: int
    call_steps: int

    def calls(self, step: int, steps: int) -> Iterator[Call]:
        """Yields the calls that train global steps step..step+steps-1, which lie in one epoch."""


class Order(Protocol):
    """Which examples each step takes."""

    steps_per_epoch: int

    def block(self, step: int, steps: int) -> np.ndarray:
        """Returns int32 [steps, batch_size], rows of the training split from step `step` on."""


class ResidentFeed:
    """All training data on the device, where each step gathers its rows.

    Args:
        images: uint8 [N, H, W, C], on the device; with several replicas, on each of them.
        labels: int32 [N], likewise.
        order: which rows each step takes.
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
