"""Images drawn anew as black and white at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.types import Batch


class DynamicBinarization:
    """Shows an objective images whose pixels are 1 with the probability of their grey level.

    Black and white pixels stay as they are, so on a split that was binarised once and for all, as
    those of validation and test are, it changes nothing.

    Args:
        objective: what to compute on them.

    Attributes:
        terms: the objective's.
        schedules: the objective's.
        objective: as given.

    References:
        Salakhutdinov, Murray, "On the Quantitative Analysis of Deep Belief Networks", 2008.
    """

    def __init__(self, objective: Callable[..., Any]) -> None:
        self.objective = objective
        self.terms = objective.terms
        self.schedules = objective.schedules

    def __call__(
        self,
        model: tf.Module,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, ...]:
        """Returns the terms of every example, float32 [B] each; the arguments are `Elbo`'s."""
        # In [0, 1), so that a white pixel is always 1.
        threshold = noise.uniform("binarization", tuple(batch.image.shape[1:]))
        image = tf.cast(threshold < batch.image, tf.float32)
        return self.objective(model, batch._replace(image=image), noise, step, global_mean)

    def score(self, means: Mapping[str, float]) -> float:
        """Returns what the objective's best weights are chosen by."""
        return self.objective.score(means)
