"""The objective of the sparse autoencoder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.types import Batch, GlobalMean, Model, psnr

# Mean activities are clipped to this distance from 0 and 1, where the penalty is infinite. The
# gradient of a unit that is always off or always on is that at the clipped value.
SMALLEST_ACTIVITY = 1e-6


class SparsityTerms(NamedTuple):
    """Per-example terms, each float32 [B].

    Attributes:
        loss: what is minimised.
        reconstruction: -log p(x|code) in nats, or an error per pixel (`pixel_reduction`).
        penalty: the sparsity penalty without its weight, nats; it depends on the whole batch and is
            the same in every row.
        mean_activation: activity in [0, 1], averaged over the units.
        mse: squared error per pixel and channel of the reconstruction.
        psnr: -10 log10(mse), dB.
    """

    loss: tf.Tensor
    reconstruction: tf.Tensor
    penalty: tf.Tensor
    mean_activation: tf.Tensor
    mse: tf.Tensor
    psnr: tf.Tensor


class Sparsity:
    """Computes loss = reconstruction + weight x penalty.

    penalty = sum_j KL(Bernoulli(target) || Bernoulli(m_j)), with m_j the activity of unit j,
    averaged over the global batch.

    Args:
        target: desired mean activity of a unit, in (0, 1).
        weight: of the penalty.
        pixel_reduction: "sum" or "mean", as for `Elbo`.

    Attributes:
        terms: names of the terms, in order.
        schedules: empty.

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
        """Returns the terms of each example.

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

    The means m = global_mean(activity) have no gradient, so the backward pass has no all-reduce.
    Each row has the gradient of sum_j KL'(m_j) activity_j instead, whose mean over the rows of all
    replicas is exactly the gradient of the penalty.

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
    # Its value is 0 and its gradient with respect to the activity is `slope`.
    zero = slope * (activity - tf.stop_gradient(activity))
    return tf.reduce_sum(kl + zero, -1)
