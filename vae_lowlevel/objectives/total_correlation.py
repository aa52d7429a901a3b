"""The objective of the beta-TCVAE: the KL in three parts, of which one is weighted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.objectives.elbo import draw_noise
from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule
from vae_lowlevel.types import Batch, GlobalMean, Model

tfd = tfp.distributions


class TotalCorrelationTerms(NamedTuple):
    """Per-example terms, each float32 [B].

    Attributes:
        loss: what is minimised, nats.
        elbo: -(distortion + rate), nats.
        distortion: -log p(x|z) at one draw of z, nats.
        rate: KL(q(z|x) || p(z)) from its closed form, nats.
        mutual_information: log q(z|x) - log q(z), nats.
        total_correlation: log q(z) - sum_j log q(z_j), nats.
        dimension_kl: sum_j log q(z_j) - log p(z_j), nats.
        mse: squared error per pixel and channel of the likelihood's mean.
    """

    loss: tf.Tensor
    elbo: tf.Tensor
    distortion: tf.Tensor
    rate: tf.Tensor
    mutual_information: tf.Tensor
    total_correlation: tf.Tensor
    dimension_kl: tf.Tensor
    mse: tf.Tensor


class TotalCorrelation:
    """Computes loss = distortion + mutual information + b total correlation + dimension-wise KL.

    The last three sum to an estimate of the KL; b is `kl_weight`(step). q(z) is the mean of q(z|x)
    over the training set, estimated from the global batch by `stratified_log_weights`. The estimate
    of q(z) is unbiased. That of its logarithm is too low, the less so the larger the batch; for a
    batch of N images both are exact.

    In the last batch of an evaluation, rows of padding count as copies of their image.

    Args:
        kl_weight: step -> weight b.
        examples: N, the size of the training set.

    Attributes:
        terms: names of the terms, in order.
        schedules: "kl_weight"; see `types.Objective`.

    References:
        Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in Variational
        Autoencoders", 2018, eq. 4 and appendix C.2.
    """

    terms = TotalCorrelationTerms._fields

    def __init__(self, *, kl_weight: Schedule, examples: int) -> None:
        self.kl_weight = kl_weight
        self.examples = examples
        self.schedules = {"kl_weight": kl_weight}

    def __call__(
        self,
        model: Model,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: GlobalMean,
    ) -> TotalCorrelationTerms:
        """Returns the terms of each example.

        Args:
            model: with a diagonal posterior and the standard prior.
            batch: see `types.Objective`.
            noise: of this step; z is drawn with it.
            step: integer scalar, for the schedule.
            global_mean: see `types.GlobalMean`; collects the posteriors of all replicas.
        """
        model = model.conditioned_on(batch.label)
        posterior = model.encode(batch.encoder_input)
        z, log_q = model.sample_and_log_prob(posterior, draw_noise(noise, 1, model.latent_dim)[0])
        likelihood = model.decode(z)
        distortion = -likelihood.log_prob(batch.image)
        rate = tf.reduce_sum(model.kl_per_dimension(posterior), -1)

        own = tf.stack([z, posterior.mean(), posterior.stddev()], -1)
        rows = tf.one_hot(noise.first_row + tf.range(noise.rows), noise.global_rows)
        log_joint, log_factors = _log_aggregate(
            _gather(own, rows, noise, global_mean), self.examples
        )
        log_joint, log_factors = (
            _own_rows(values, rows, noise) for values in (log_joint, log_factors)
        )
        mutual_information = log_q - log_joint
        total_correlation = log_joint - log_factors
        dimension_kl = log_factors - model.prior().log_prob(z)
        weighted = self.kl_weight(step) * total_correlation
        mse = tf.math.squared_difference(likelihood.mean(), batch.image)
        return TotalCorrelationTerms(
            loss=distortion + mutual_information + weighted + dimension_kl,
            elbo=-(distortion + rate),
            distortion=distortion,
            rate=rate,
            mutual_information=mutual_information,
            total_correlation=total_correlation,
            dimension_kl=dimension_kl,
            mse=tf.reduce_mean(mse, [1, 2, 3]),
        )

    def report(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns the means as they are."""
        return dict(means)


def stratified_log_weights(batch_size: int, examples: int) -> tf.Tensor:
    """Returns log weights [i, j] of q(z|x_j) in the estimate of q(z) for a draw from q(z|x_i).

    Image i itself weighs 1/N, the M others of the batch share the rest: (N - 1) / (N M) each. The
    mean over all batches with image i is then q(z), the mean of q(z|x) over the data set. The paper
    gives one of the others a smaller weight than the rest; this is the mean over which one it is.

    Args:
        batch_size: images of the batch, M + 1.
        examples: N, the size of the data set.

    Returns:
        float32 [batch_size, batch_size].

    References:
        Chen, Li, Grosse, Duvenaud, 2018, appendix C.2.
    """
    others = batch_size - 1
    if not others:
        return tf.zeros([1, 1])
    examples = max(examples, batch_size)
    own = tf.eye(batch_size)
    weights = own / examples + (1.0 - own) * (examples - 1) / (examples * others)
    return tf.math.log(weights)


def _log_aggregate(rows: tf.Tensor, examples: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Estimates log q(z) and sum_j log q(z_j).

    Args:
        rows: z, mean and standard deviation of the global batch, float32 [G, D, 3].
        examples: N.

    Returns:
        float32 [G] each, nats.
    """
    z, loc, scale = tf.unstack(rows, axis=-1)
    log_prob = tfd.Normal(loc, scale).log_prob(z[:, None])  # [draw, posterior, D]
    log_weights = stratified_log_weights(z.shape[0], examples)
    joint = tf.reduce_logsumexp(log_weights + tf.reduce_sum(log_prob, -1), 1)
    factors = tf.reduce_logsumexp(log_weights[..., None] + log_prob, 1)
    return joint, tf.reduce_sum(factors, -1)


def _gather(
    own: tf.Tensor, rows: tf.Tensor, noise: BatchNoise, global_mean: GlobalMean
) -> tf.Tensor:
    """Returns the rows of all replicas, those of this replica with their gradient, [G, D, 3].

    Each replica then computes all of the global terms, and takes their gradient with respect to
    its own rows: the sum over replicas is the whole gradient, with no collective in the backward
    pass.
    """
    if noise.rows == noise.global_rows:
        return own
    placed = tf.einsum("bg,bdk->bgdk", rows, tf.stop_gradient(own))
    everyone = noise.global_rows * global_mean(placed)
    return everyone + tf.einsum("bg,bdk->gdk", rows, own - tf.stop_gradient(own))


def _own_rows(values: tf.Tensor, rows: tf.Tensor, noise: BatchNoise) -> tf.Tensor:
    """Returns this replica's rows of global values [G], with the gradient of the sum of all."""
    if noise.rows == noise.global_rows:
        return values
    own = tf.linalg.matvec(rows, tf.stop_gradient(values))
    total = tf.reduce_sum(values)
    return own + (total - tf.stop_gradient(total)) / noise.rows
