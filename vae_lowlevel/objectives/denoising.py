"""Denoising: any objective, with an encoder that sees corrupted images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from vae_lowlevel.objectives.corruption import Corruption
from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.types import Batch


class Denoising:
    """Hands an objective batches whose encoder input is corrupted; the target stays clean.

    For training only: `evaluation.term_means.TermMeans` corrupts by itself, the same each time.

    Args:
        objective: what is computed.
        corruption: of the encoder's input.

    References:
        Vincent et al., "Extracting and Composing Robust Features with Denoising Autoencoders",
        2008, sec. 2.3.
        Im et al., "Denoising Criterion for Variational Auto-Encoding Framework", 2017, eq. 6.
    """

    def __init__(self, objective: Callable[..., Any], corruption: Corruption) -> None:
        self._objective = objective
        self._corruption = corruption
        self.terms = objective.terms
        self.schedules = objective.schedules

    def score(self, means: Mapping[str, float]) -> float:
        """Returns what the objective's best weights are chosen by."""
        return self._objective.score(means)

    def __call__(
        self,
        model: tf.Module,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: Callable[[tf.Tensor], tf.Tensor],
    ) -> Any:
        """Returns the objective's terms of every example."""
        corrupted = batch._replace(corrupted=self._corruption(batch.image, noise))
        return self._objective(model, corrupted, noise, step, global_mean)
