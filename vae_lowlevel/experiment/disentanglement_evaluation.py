"""Measures disentanglement of a run on drawn shapes, on its test images and on new ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.data.images import binarize_examples, pad_images
from vae_lowlevel.data.shapes import DISCRETE_FACTORS, render_factors
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.disentanglement import (
    LEAST_EXAMPLES,
    measure_disentanglement,
)
from vae_lowlevel.evaluation.embedding import compile_embedding, embed_batches
from vae_lowlevel.evaluation.metrics import ACTIVE_VARIANCE
from vae_lowlevel.experiment.subject import Subject, progress_bar
from vae_lowlevel.types import Examples


def measure_run_disentanglement(subject: Subject) -> dict[str, Any]:
    """Measures how well the latents of a run on drawn shapes represent their factors.

    Returns:
        `disentanglement`: the scores of `measure_disentanglement`.

    Raises:
        ConfigError: the run is not one of drawn shapes, has too few test images, or scikit-learn is
            missing.
    """
    data, dataset, model = subject.config.data, subject.dataset, subject.model
    if data.dataset != "shapes":
        raise ConfigError(
            "--metrics=disentanglement needs a run of --dataset=shapes, whose factors of variation "
            f"are known, but {subject.folder.path} is one of --dataset={data.dataset}"
        )
    if len(dataset.test) < LEAST_EXAMPLES:
        raise ConfigError(
            f"--metrics=disentanglement needs at least {LEAST_EXAMPLES} test images, found "
            f"{len(dataset.test)}; raise --examples, or --shapes_examples of the run"
        )
    subject.require_scikit_learn("disentanglement")
    batch_size = subject.config.training.evaluation_batch_size
    embed = compile_embedding(model, batch_size)
    random = np.random.default_rng(subject.options.seed)

    def embed_all(examples: Examples) -> np.ndarray:
        return embed_batches(embed, padded_batches(examples, batch_size))

    def represent(factors: np.ndarray) -> np.ndarray:
        starts = progress_bar("new images")(range(0, len(factors), batch_size))
        parts = (factors[first : first + batch_size] for first in starts)
        return np.concatenate([embed_all(_draw_shapes(data, part, random)) for part in parts])

    scores = measure_disentanglement(
        represent,
        embed_all(dataset.test),
        dataset.test.factors,
        dataset.factor_names,
        DISCRETE_FACTORS,
        smallest_variance=ACTIVE_VARIANCE if model.has_prior else 0.0,
        seed=subject.options.seed,
    )
    return {"disentanglement": scores}


def _draw_shapes(data: DataConfig, factors: np.ndarray, random: np.random.Generator) -> Examples:
    """Draws the shapes of given factors in the way of the data set."""
    image = render_factors(factors, data.image_size)
    examples = Examples(image, factors[:, 0].astype(np.int32), factors)
    if data.pad_to is not None:
        examples = pad_images(examples, data.pad_to)
    if data.binarize != "none":
        examples = binarize_examples(examples, int(random.integers(2**63)))
    return examples
