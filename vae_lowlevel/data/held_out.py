"""Which examples of a data set are held out of training, by its size alone."""

from __future__ import annotations

import numpy as np

from vae_lowlevel.data.permutation import permutation
from vae_lowlevel.errors import ConfigError, DataError


def split_test(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits a tenth off, the same each time, of data that come without a test split.

    Args:
        count: how many examples there are.

    Returns:
        the numbers of those that stay and of those that are the test split, int32, rising.

    Raises:
        DataError: there are less than two.
    """
    if count < 2:
        raise DataError(
            f"expected at least 2 images, one of them for the test split, found {count}"
        )
    order = permutation(count, "test")
    size = max(1, count // 10)
    return np.sort(order[size:]), np.sort(order[:size])


def split_validation(count: int, validation_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Splits validation examples off the training split.

    A smaller validation set is a part of a larger one.

    Args:
        count: how many training examples there are, those of the test split taken out.
        validation_size: how many to hold out.

    Returns:
        the numbers of those that stay and of those that are held out, int32, rising.

    Raises:
        ConfigError: nothing is left to train on.
    """
    if validation_size >= count:
        raise ConfigError(
            f"--validation_size={validation_size} must be less than the {count} training "
            "examples of the data set"
        )
    order = permutation(count, "validation")
    return np.sort(order[validation_size:]), np.sort(order[:validation_size])
