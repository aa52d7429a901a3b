"""The objective of the sparse autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.types import Batch, GlobalMean, Model, psnr

# A mean activity of exactly 0 or 1 would cost infinitely much: a unit that is always silent, or
# always on, costs what this distance from the bound costs, and its gradient is that there.
SMALLEST_ACTIVITY = 1e-6


class SparsityTerms(NamedTuple):
    """Per-example terms, each float32 [B].

    Attributes:
        loss: what is minimised.
        reconstruction: -log p(x|code) in nats, or the error a pixel (`pixel_reduction`).
        penalty: the sparsity penalty before its weight, nats; a property of the batch, so the same
            in every row.
        mean_activation: activity in [0, 1], averaged over the units.
        mse: squared error a pixel of the reconstruction.
        psnr: -10 log10(mse), dB.
    """

    loss: tf.Tensor
    reconstruction: tf.Tensor
    penalty: tf.Tensor
    mean_activation: tf.Tensor
    mse: tf.Tensor
    psnr: tf.Tensor


class Sparsity:
    """Computes loss = reconstruction + sparsity_weight x penalty.

    penalty = sum_j KL(Bernoulli(target) || Bernoulli(m_j)), with m_j the activity of unit j,
    averaged over the global batch.

    Args:
        target: wanted mean activity of a unit, in (0, 1).
        weight: of the penalty.
        pixel_reduction: "sum" or "mean", as in the ELBO.

    Attributes:
        terms: the names of the terms, in order.
        schedules: what changes over the run, by name: nothing here.

    References:
        Ng, "Sparse autoencoder", CS294A lecture notes, 2011, sec. 3 (UFLDL).
    """

    terms = SparsityTerms._fields

    def __init__(self, *, target: float, weight: float, pixel_reduction: str = "sum") -> None:
        self.target = target
        self.weight = weight
        self.pixel_reduction = pixel_reduction
        self.schedules: dict[str, Schedule] = {}

    def __call__(
        self,
        model: Model,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: GlobalMean,
    ) -> SparsityTerms:
        """Returns the terms of every example.

        Args:
            model: a `SparseAutoencoder`.
            batch: see `types.Objective`.
            noise: not used; the code is deterministic.
            step: not used; nothing is scheduled.
            global_mean: see `types.GlobalMean`.
        """
        del noise, step
        model = model.conditioned_on(batch.label)
        code = model.encode(batch.encoder_input)
        activity = model.activity(code)
        likelihood = model.decode(code)

        log_prob = likelihood.log_prob(batch.image)
        mse = tf.reduce_mean(tf.math.squared_difference(likelihood.mean(), batch.image), [1, 2, 3])
        reconstruction = -log_prob
        if self.pixel_reduction == "mean":
            reconstruction = model.likelihood.pixel_loss(batch.image, log_prob, mse)
        penalty = bernoulli_penalty(activity, self.target, global_mean)
        return SparsityTerms(
            loss=reconstruction + self.weight * penalty,
            reconstruction=reconstruction,
            penalty=penalty,
            mean_activation=tf.reduce_mean(activity, -1),
            mse=mse,
            psnr=psnr(mse),
        )

    def report(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns the means as they are."""
        return dict(means)


def bernoulli_penalty(activity: tf.Tensor, target: float, global_mean: GlobalMean) -> tf.Tensor:
    """Computes sum_j KL(Bernoulli(target) || Bernoulli(m_j)) of mean activities m_j, in nats.

    The means m = global_mean(activity) are taken without gradient, so that no all-reduce stands in
    the backward pass. Each row's gradient is that of sum_j KL'(m_j) activity_j instead: averaged
    over the rows of all replicas, this is the gradient of the penalty, exactly.

    Args:
        activity: float32 [B, D] in [0, 1].
        target: in (0, 1).
        global_mean: [B, D] -> [D].

    Returns:
        float32 [B], the same value in every row.
    """
    mean = global_mean(tf.stop_gradient(activity))
    mean = tf.clip_by_value(mean, SMALLEST_ACTIVITY, 1.0 - SMALLEST_ACTIVITY)
    kl = target * tf.math.log(target / mean)
    kl += (1.0 - target) * tf.math.log((1.0 - target) / (1.0 - mean))
    slope = (1.0 - target) / (1.0 - mean) - target / mean
    # Zero in value, `slope` times the activity in gradient.
    carrier = slope * (activity - tf.stop_gradient(activity))
    return tf.reduce_sum(kl + carrier, -1)
