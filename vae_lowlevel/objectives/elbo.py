"""The negative evidence lower bound (ELBO) and its weighted variants."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.types import Batch, ConditionedVAE, GlobalMean, Model


class ElboTerms(NamedTuple):
    """Per-example terms, each float32 [B].

    Attributes:
        loss: what is minimised.
        elbo: -(distortion + rate), nats.
        distortion: -log p(x|z), nats; the mean over the draws of z.
        rate: KL(q(z|x) || p(z)), nats. Without a closed form it is an estimate from the draws,
            which can be negative; its mean over many examples is the KL.
        mse: squared error per pixel and channel of the likelihood's mean, averaged over the draws.
    """

    loss: tf.Tensor
    elbo: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    mse: tf.Tensor


class Elbo:
    """Computes loss = reconstruction + kl_weight(step) x KL.

    With `pixel_reduction="sum"`, the reconstruction is the distortion, in nats per example. With
    "mean", it is the likelihood's `pixel_loss`, an error per pixel and channel; the KL is still
    summed over the latent dimensions.

    With free bits, a latent dimension whose KL, averaged over the global batch, is at most
    `free_bits` nats adds the constant `free_bits` to the loss, and so no gradient. A KL estimated
    from a draw is one number per example; its bound is D x `free_bits`.

    With a capacity, the loss is reconstruction + kl_weight x |mean KL - capacity(step)|, with the
    mean over the global batch.

    Args:
        kl_weight: step -> weight.
        num_samples: number of draws of z per example; all terms are means over them.
        pixel_reduction: "sum" or "mean".
        free_bits: nats per latent dimension.
        kl_estimator: "analytic" for the closed form; "monte_carlo" for log q(z|x) - log p(z) at the
            draws of z; "auto" for the closed form if the model has one.
        capacity: step -> nats per example; None for no capacity. Not together with free bits.
        bpd_dimensions: H W C, for a likelihood of discrete grey levels: `report` then adds bits per
            dimension. None for any other likelihood.

    Attributes:
        terms: names of the terms, in order.
        schedules: "kl_weight" and, with a capacity, "capacity"; see `types.Objective`.

    References:
        Higgins et al., "beta-VAE", 2017, eq. 4 (kl_weight).
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016,
        appendix C.8 (free bits).
        Burgess et al., "Understanding disentangling in beta-VAE", 2018, eq. 8 (capacity).
    """

    terms = ElboTerms._fields

    def __init__(
        self,
        *,
        kl_weight: Schedule,
        num_samples: int = 1,
        pixel_reduction: str = "sum",
        free_bits: float = 0.0,
        kl_estimator: str = "auto",
        capacity: Schedule | None = None,
        bpd_dimensions: int | None = None,
    ) -> None:
        self.kl_weight = kl_weight
        self.num_samples = num_samples
        self.pixel_reduction = pixel_reduction
        self.free_bits = free_bits
        self.kl_estimator = kl_estimator
        self.capacity = capacity
        self.bpd_dimensions = bpd_dimensions
        self.schedules = {"kl_weight": kl_weight}
        if capacity is not None:
            self.schedules["capacity"] = capacity

    def __call__(
        self,
        model: Model,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: GlobalMean,
    ) -> ElboTerms:
        """Returns the terms of each example.

        Args:
            model: a `VariationalAutoencoder` or `ConditionalVAE`.
            batch: see `types.Objective`.
            noise: of this step; z is drawn with it.
            step: integer scalar, for the schedules.
            global_mean: see `types.GlobalMean`; used by free bits and by the capacity.
        """
        model = model.conditioned_on(batch.label)
        posterior = model.encode(batch.encoder_input)
        draws = draw_noise(noise, self.num_samples, model.latent_dim)
        # A single draw needs no axis of its own.
        draws = draws[0] if self.num_samples == 1 else draws
        z, log_q = model.sample_and_log_prob(posterior, draws)
        likelihood = model.decode(z)

        if self.is_analytic(model):
            kl = model.kl_per_dimension(posterior)
        else:
            kl = self._mean_over_draws(log_q - model.prior().log_prob(z))[:, None]
        rate = tf.reduce_sum(kl, -1)
        log_prob = self._mean_over_draws(likelihood.log_prob(batch.image))
        error = tf.math.squared_difference(likelihood.mean(), batch.image)
        mse = self._mean_over_draws(tf.reduce_mean(error, [-3, -2, -1]))

        reconstruction = -log_prob
        if self.pixel_reduction == "mean":
            reconstruction = model.likelihood.pixel_loss(batch.image, log_prob, mse)
        free = self.free_bits * model.latent_dim / kl.shape[-1]
        penalised = tf.reduce_sum(_at_least(free, kl, global_mean), -1)
        if self.capacity is not None:
            penalised = distance_from_capacity(rate, self.capacity(step), global_mean)
        loss = reconstruction + self.kl_weight(step) * penalised
        return ElboTerms(loss=loss, elbo=log_prob - rate, distortion=-log_prob, rate=rate, mse=mse)

    def _mean_over_draws(self, values: tf.Tensor) -> tf.Tensor:
        return values if self.num_samples == 1 else tf.reduce_mean(values, 0)

    def report(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns the means; with `bpd_dimensions` also `bpd` = -elbo / (H W C ln 2)."""
        if self.bpd_dimensions is None:
            return dict(means)
        return {**means, "bpd": -means["elbo"] / (self.bpd_dimensions * math.log(2.0))}

    def is_analytic(self, model: ConditionedVAE) -> bool:
        """Returns whether the KL of this model is computed from its closed form."""
        if self.kl_estimator == "auto":
            return model.has_closed_form_kl
        return self.kl_estimator == "analytic"


def draw_noise(noise: BatchNoise, num_samples: int, latent_dim: int) -> tf.Tensor:
    """Draws N(0, 1) for several z per example, float32 [num_samples, B, latent_dim]."""
    if num_samples == 1:
        # The numbers of a shape without the axis of draws, on every device.
        return noise.normal("posterior", (latent_dim,))[None]
    return tf.transpose(noise.normal("posterior", (num_samples, latent_dim)), [1, 0, 2])


def _at_least(free: float, kl: tf.Tensor, global_mean: GlobalMean) -> tf.Tensor:
    """Replaces columns of the KL [B, 1 or D] by `free` where their mean is at most that."""
    if not free:
        return kl
    is_above = global_mean(tf.stop_gradient(kl)) > free
    return tf.where(is_above, kl, free)


def distance_from_capacity(
    rate: tf.Tensor, capacity: tf.Tensor, global_mean: GlobalMean
) -> tf.Tensor:
    """Computes terms whose mean over the rows of all replicas is |mean rate - capacity|.

    The term of a row is sign(mean rate - capacity) (rate - capacity), which can be negative. The
    sign has no gradient, so the backward pass has no all-reduce; the gradient of the mean of the
    terms is still exactly that of the distance.

    Args:
        rate: float32 [B], nats.
        capacity: float32 scalar, nats.
        global_mean: [B] -> scalar.

    Returns:
        float32 [B].
    """
    mean_rate = global_mean(tf.stop_gradient(rate)[:, None])[0]
    return tf.math.sign(mean_rate - capacity) * (rate - capacity)
