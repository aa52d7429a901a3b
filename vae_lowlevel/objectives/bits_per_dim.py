"""Bits a dimension beside the terms of an objective."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.types import Batch


class WithBitsPerDim:
    """Adds the term bpd = -elbo / (H W C ln 2), for a likelihood of grey levels.

    Args:
        objective: whose terms have an `elbo` in nats an example.

    Attributes:
        terms: those of the objective, then `bpd`.
        schedules: the objective's.
        objective: as given.
    """

    def __init__(self, objective: Callable[..., Any]) -> None:
        self.objective = objective
        self.schedules = objective.schedules
        self.terms = (*objective.terms, "bpd")
        self._tuple = collections.namedtuple("TermsWithBpd", self.terms)

    def __call__(
        self,
        model: tf.Module,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: Callable[[tf.Tensor], tf.Tensor],
    ) -> tuple[tf.Tensor, ...]:
        """Returns the terms of every example, float32 [B] each; the arguments are `Elbo`'s."""
        terms = self.objective(model, batch, noise, step, global_mean)
        values = batch.image.shape[1:].num_elements()
        return self._tuple(*terms, bpd=-terms.elbo / (values * math.log(2.0)))

    def score(self, means: Mapping[str, float]) -> float:
        """Returns what the objective's best weights are chosen by."""
        return self.objective.score(means)
