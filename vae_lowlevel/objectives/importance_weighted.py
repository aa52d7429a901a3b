"""The importance-weighted bound (IWAE), and its doubly reparameterized gradient (DReG)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import tensorflow as tf

from vae_lowlevel.objectives.elbo import draw_noise
from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.types import Batch, GlobalMean, Model


class ImportanceWeightedTerms(NamedTuple):
    """Per-example terms, each float32 [B].

    Attributes:
        loss: what is minimised, nats.
        bound: log 1/k sum_s w_s of k draws, nats; at least the mean of `elbo`, at most log p(x).
        elbo: mean of log w_s over the draws, nats.
        distortion: mean of -log p(x|z_s), nats.
        rate: mean of log q(z_s|x) - log p(z_s), nats.
        mse: squared error per pixel and channel of the likelihood's mean at the first draw.
    """

    loss: tf.Tensor
    bound: tf.Tensor
    elbo: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    mse: tf.Tensor


class ImportanceWeighted:
    """Computes loss = -log 1/k sum_s w_s, with log w_s = log p(x|z_s) + b log (p(z_s) / q(z_s|x)).

    z_1 ... z_k are draws from q(z|x), and b is `kl_weight`(step): 1, except in a warm-up. The
    encoder runs once per image, the decoder k times.

    The larger k, the more noise hides the gradient of the encoder. The doubly reparameterized
    gradient has the same expectation and less noise. With v_s = w_s / sum w, z_s receives the
    gradient v_s ((1 - b) + b v_s) dlog w_s/dz_s, and the parameters of q in log q(z_s|x) receive
    none. Tucker et al. derive it for b = 1. It follows for any b in the same way, from
    E[v_s dlog q/dphi] = E[dv_s/dz dz/dphi] and dv_s/dz = v_s (1 - v_s) dlog w_s/dz.

    Args:
        kl_weight: step -> weight.
        num_samples: k.
        is_doubly_reparameterized: which gradient; the doubly reparameterized one is for Gaussian
            posteriors.
        bpd_dimensions: as for `Elbo`.

    Attributes:
        terms: names of the terms, in order.
        schedules: "kl_weight"; see `types.Objective`.

    References:
        Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, eq. 8.
        Tucker, Lawson, Gu, Maddison, "Doubly Reparameterized Gradient Estimators for Monte Carlo
        Objectives", 2019 (IWAE-DReG).
    """

    terms = ImportanceWeightedTerms._fields

    def __init__(
        self,
        *,
        kl_weight: Schedule,
        num_samples: int,
        is_doubly_reparameterized: bool = False,
        bpd_dimensions: int | None = None,
    ) -> None:
        self.kl_weight = kl_weight
        self.num_samples = num_samples
        self.is_doubly_reparameterized = is_doubly_reparameterized
        self.bpd_dimensions = bpd_dimensions
        self.schedules = {"kl_weight": kl_weight}

    def __call__(
        self,
        model: Model,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: GlobalMean,
    ) -> ImportanceWeightedTerms:
        """Returns the terms of each example.

        Args:
            model: a `VariationalAutoencoder` or `ConditionalVAE`.
            batch: see `types.Objective`.
            noise: of this step; the z are drawn with it.
            step: integer scalar, for the schedule.
            global_mean: not used.
        """
        del global_mean
        model = model.conditioned_on(batch.label)
        posterior = model.encode(batch.encoder_input)
        z, log_q = model.sample_and_log_prob(
            posterior, draw_noise(noise, self.num_samples, model.latent_dim)
        )
        set_factor = None
        if self.is_doubly_reparameterized:
            z, set_factor = with_scaled_gradient(z)
            log_q = model.posterior.stopped(posterior).log_prob(z)
        likelihood = model.decode(z)
        log_likelihood = likelihood.log_prob(batch.image)
        log_ratio = model.prior().log_prob(z) - log_q
        kl_weight = self.kl_weight(step)
        log_weight = log_likelihood + kl_weight * log_ratio
        loss = -(tf.reduce_logsumexp(log_weight, 0) - math.log(self.num_samples))
        if set_factor is not None:
            share = tf.stop_gradient(tf.nn.softmax(log_weight, 0))
            set_factor((1.0 - kl_weight) + kl_weight * share)
        mse = tf.math.squared_difference(likelihood.mean()[0], batch.image)
        log_joint = log_likelihood + log_ratio
        return ImportanceWeightedTerms(
            loss=loss,
            bound=tf.reduce_logsumexp(log_joint, 0) - math.log(self.num_samples),
            elbo=tf.reduce_mean(log_joint, 0),
            distortion=-tf.reduce_mean(log_likelihood, 0),
            rate=-tf.reduce_mean(log_ratio, 0),
            mse=tf.reduce_mean(mse, [1, 2, 3]),
        )

    def report(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns the means; with `bpd_dimensions` also `bpd` = -bound / (H W C ln 2)."""
        if self.bpd_dimensions is None:
            return dict(means)
        return {**means, "bpd": -means["bound"] / (self.bpd_dimensions * math.log(2.0))}


def with_scaled_gradient(z: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], None]]:
    """Returns z, whose gradient will be multiplied by a factor, and the function that sets it.

    The factor may depend on what is computed from z. It has to be set before the gradient is taken.

    Args:
        z: float32 [S, B, D]; the factor is float32 [S, B].
    """
    factors = []

    @tf.custom_gradient
    def identity(z: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        return tf.identity(z), lambda dz: dz * factors[0][..., None]

    return identity(z), factors.append
