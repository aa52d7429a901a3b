"""Which examples are held out of training, and grey images drawn as black and white ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from vae_lowlevel.data.batching import permutation
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Dataset, Examples


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


# Drawn at once; the draws do not depend on it.
CHUNK = 1000


def binarize(dataset: Dataset, kind: str) -> Dataset:
    """Returns a data set whose pixels are 255 with the probability of their grey level, else 0.

    A draw depends on an example's place in its split alone, so that all runs see the same images.

    Args:
        dataset: grey images.
        kind: "none", nothing is drawn; "static", all splits; "dynamic", validation and test, while
            the training split stays grey for the objective to draw from at every step.
    """
    if kind == "none":
        return dataset
    drawn = {
        "validation": binarize_examples(dataset.validation, seed=1),
        "test": binarize_examples(dataset.test, seed=2),
    }
    if kind == "static":
        drawn["train"] = binarize_examples(dataset.train, seed=0)
    return dataclasses.replace(dataset, **drawn)


def binarize_examples(examples: Examples, seed: int) -> Examples:
    """Draws each pixel, uint8 0 or 255: 255 with probability pixel / 255.

    Args:
        examples: grey images.
        seed: of the draws.

    References:
        Larochelle, Murray, "The Neural Autoregressive Distribution Estimator", 2011
        (a fixed draw, so that results compare).
    """
    random = np.random.Generator(np.random.PCG64(seed))
    image = np.empty_like(examples.image)
    for first in range(0, len(examples), CHUNK):
        rows = slice(first, first + CHUNK)
        # u in [0, 1): a white pixel is always drawn white, a black one black.
        threshold = 255.0 * random.random(examples.image[rows].shape, np.float32)
        image[rows] = 255 * (threshold < examples.image[rows])
    return dataclasses.replace(examples, image=image)
