"""Grey images drawn once and for all as black and white ones."""

from __future__ import annotations

import dataclasses

import numpy as np

from vae_lowlevel.types import Dataset, Examples

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
