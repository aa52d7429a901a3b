"""Chooses the examples that are held out of training: for test and for validation."""

from __future__ import annotations

import numpy as np

from vae_lowlevel.config.data import MOST_DEFAULT_VALIDATION
from vae_lowlevel.data.batching import permutation
from vae_lowlevel.errors import ConfigError, DataError


def validation_size(count: int, given: int | None) -> int:
    """Returns how many examples are held out for validation.

    Args:
        count: size of the training split before any examples are held out of it.
        given: the number that the user sets; None for the default, a tenth of `count` but at most
            5000.

    Example:
        >>> validation_size(60000, None), validation_size(100, None), validation_size(100, 30)
        (5000, 10, 30)
    """
    return min(MOST_DEFAULT_VALIDATION, count // 10) if given is None else given


def split_test(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Holds out a tenth of data without a test split: the same examples each time.

    Args:
        count: number of examples.

    Returns:
        the row numbers of the examples that remain and of the test split, int32, ascending.

    Raises:
        DataError: there are fewer than two examples.
    """
    if count < 2:
        raise DataError(
            f"expected at least 2 images, one of them for the test split, found {count}"
        )
    order = permutation(count, "test")
    size = max(1, count // 10)
    return np.sort(order[size:]), np.sort(order[:size])


def split_validation(count: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Holds out validation examples.

    A smaller validation split is a subset of a larger one.

    Args:
        count: number of training examples, without those of the test split.
        size: number of examples to hold out.

    Returns:
        the row numbers of the examples that remain and of those held out, int32, ascending.

    Raises:
        ConfigError: no example remains.
    """
    if size >= count:
        raise ConfigError(
            f"--validation_size={size} must be less than the {count} training examples of the "
            "data set"
        )
    order = permutation(count, "validation")
    return np.sort(order[size:]), np.sort(order[:size])
