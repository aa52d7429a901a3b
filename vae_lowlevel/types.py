"""The tuples that pass between packages."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple, Protocol

import numpy as np
import tensorflow as tf


class Batch(NamedTuple):
    """Examples as the model sees them.

    Attributes:
        image: float32 [B, H, W, C] in [0, 1].
        label: int32 [B], the class; -1 where the data have none.
        corrupted: what the encoder sees in place of `image`, as `image`; None for `image` itself.
    """

    image: tf.Tensor
    label: tf.Tensor
    corrupted: tf.Tensor | None = None

    @property
    def encoder_input(self) -> tf.Tensor:
        """What the encoder sees, float32 [B, H, W, C] in [0, 1]."""
        return self.image if self.corrupted is None else self.corrupted


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split of a data set, in host memory.

    Attributes:
        image: uint8 [N, H, W, C].
        label: int32 [N], the class; -1 where the data have none.
        factors: float32 [N, K], the known factors of variation, or None.
    """

    image: np.ndarray
    label: np.ndarray
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice | np.ndarray) -> Examples:
        factors = None if self.factors is None else self.factors[rows]
        return Examples(self.image[rows], self.label[rows], factors)


class StreamedExamples(Protocol):
    """A training split that stays on disk: `data.record_stream.RecordStream`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> Examples:
        """Reads some examples into memory."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: its splits and what its labels mean.

    Attributes:
        train: the training split, validation examples taken out; where it does not fit into memory,
            a stream with a length, from which rows are read as from `Examples`.
        validation: examples held out from the training split; may be empty.
        test: the test split.
        class_names: one name a class; empty where the data have no classes.
        factor_names: one name a column of `Examples.factors`.
    """

    train: Examples | StreamedExamples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return tuple(self.test.image.shape[1:])

    @property
    def num_classes(self) -> int:
        """How many classes the labels tell apart; 0 where the data have none."""
        return len(self.class_names)
