"""Approximate posteriors q(z|x).

A head maps the encoder's output to a TFP distribution that transforms standard normal noise by its
`bijector`: `z = posterior.bijector.forward(noise)` is a reparameterised draw from the caller's
noise, and `sample_and_log_prob` also returns log q(z|x). The head also describes its posteriors:
`embedding` is the one z that represents an image, `parameters` are the parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import soft_clip
from vae_lowlevel.distributions.flows import AutoregressiveStep, Flow, FlowDistribution

tfd = tfp.distributions

# Bounds the scale to exp(-5) ... exp(5), more than a posterior needs; exp, its square and the KL
# stay far from overflow in float32.
LOG_VARIANCE_BOUND = 10.0


class DiagonalPosterior(tf.Module):
    """The Gaussian q(z|x) = N(loc, diag(exp(log_variance))).

    The log-variance is bounded smoothly: log_variance = 10 tanh(raw / 10), in (-10, 10).

    Attributes:
        parameter_size: number of encoder outputs it needs, 2 D.
        is_gaussian: whether q(z|x) is a Gaussian, so that the KL may have a closed form.
    """

    is_gaussian = True

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="diagonal_posterior")
        self.latent_dim = latent_dim
        self.parameter_size = 2 * latent_dim

    def __call__(self, parameters: tf.Tensor) -> tfd.MultivariateNormalDiag:
        """Maps [B, 2 D] to the posterior over float32 [B, D]."""
        loc, raw = tf.split(tf.cast(parameters, tf.float32), 2, axis=-1)
        log_variance = soft_clip(raw, LOG_VARIANCE_BOUND)
        return tfd.MultivariateNormalDiag(loc, tf.math.exp(0.5 * log_variance))

    def embedding(self, posterior: tfd.MultivariateNormalDiag) -> tf.Tensor:
        """Returns the mean, float32 [B, D]."""
        return posterior.mean()

    def stopped(self, posterior: tfd.MultivariateNormalDiag) -> tfd.MultivariateNormalDiag:
        """Returns the same distribution, whose parameters receive no gradient."""
        return tfd.MultivariateNormalDiag(
            tf.stop_gradient(posterior.loc), tf.stop_gradient(posterior.scale.diag_part())
        )

    def parameters(self, posterior: tfd.MultivariateNormalDiag) -> dict[str, tf.Tensor]:
        """Returns `z_mean` and `z_log_var`, float32 [B, D]."""
        return {
            "z_mean": posterior.mean(),
            "z_log_var": 2.0 * tf.math.log(posterior.stddev()),
        }


# Bounds the entries of a lower-triangular scale below its diagonal, for the same reason.
OFF_DIAGONAL_BOUND = 100.0


class FullPosterior(tf.Module):
    """The Gaussian q(z|x) = N(loc, L L^T) with a lower-triangular L.

    The diagonal of L is that of `DiagonalPosterior`, exp(5 tanh(raw / 10)). The entries below the
    diagonal are 100 tanh(raw / (100 D)). They are divided by D because up to D - 1 of them add up
    to the noise of one dimension, which would otherwise hide the signal of a new encoder.

    Attributes:
        parameter_size: number of encoder outputs it needs, D + D (D + 1) / 2.
        is_gaussian: whether q(z|x) is a Gaussian, so that the KL may have a closed form.

    References:
        Kingma, Welling, "An Introduction to Variational Autoencoders", 2019, sec. 2.5.1.
    """

    is_gaussian = True

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="full_posterior")
        self.latent_dim = latent_dim
        self.parameter_size = latent_dim + latent_dim * (latent_dim + 1) // 2

    def __call__(self, parameters: tf.Tensor) -> tfd.MultivariateNormalTriL:
        """Maps [B, D + D (D + 1) / 2] to the posterior over float32 [B, D]."""
        parameters = tf.cast(parameters, tf.float32)
        loc, entries = tf.split(parameters, [self.latent_dim, -1], axis=-1)
        raw = tfp.math.fill_triangular(entries)
        log_variance = soft_clip(tf.linalg.diag_part(raw), LOG_VARIANCE_BOUND)
        scale = tf.linalg.set_diag(
            soft_clip(raw / self.latent_dim, OFF_DIAGONAL_BOUND),
            tf.math.exp(0.5 * log_variance),
        )
        return tfd.MultivariateNormalTriL(loc, scale)

    def embedding(self, posterior: tfd.MultivariateNormalTriL) -> tf.Tensor:
        """Returns the mean, float32 [B, D]."""
        return posterior.mean()

    def stopped(self, posterior: tfd.MultivariateNormalTriL) -> tfd.MultivariateNormalTriL:
        """Returns the same distribution, whose parameters receive no gradient."""
        return tfd.MultivariateNormalTriL(
            tf.stop_gradient(posterior.loc), tf.stop_gradient(posterior.scale.to_dense())
        )

    def parameters(self, posterior: tfd.MultivariateNormalTriL) -> dict[str, tf.Tensor]:
        """Returns `z_mean`, float32 [B, D], and `z_scale_tril`, L, float32 [B, D, D]."""
        return {"z_mean": posterior.mean(), "z_scale_tril": posterior.scale.to_dense()}


class AutoregressiveFlowPosterior(tf.Module):
    """A diagonal Gaussian transformed by an inverse autoregressive flow (IAF).

    The encoder computes the Gaussian's parameters and the features h that every step sees.

    Args:
        latent_dim: D.
        context_features: size of h.
        networks: one autoregressive network per step: (x [..., B, D], h [B, H]) -> m and s, each
            [..., B, D].

    Attributes:
        parameter_size: number of encoder outputs it needs, 2 D + H.
        is_gaussian: whether q(z|x) is a Gaussian, so that the KL may have a closed form.

    References:
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016,
        algorithm 1.
    """

    is_gaussian = False

    def __init__(
        self,
        latent_dim: int,
        context_features: int,
        networks: Sequence[Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]],
    ) -> None:
        super().__init__(name="iaf_posterior")
        self.networks = list(networks)
        self._base = DiagonalPosterior(latent_dim)
        self.parameter_size = self._base.parameter_size + context_features

    def __call__(self, parameters: tf.Tensor) -> FlowDistribution:
        """Maps [B, 2 D + H] to the posterior over float32 [B, D]."""
        parameters = tf.cast(parameters, tf.float32)
        base, context = tf.split(parameters, [self._base.parameter_size, -1], axis=-1)
        steps = [AutoregressiveStep(network, context) for network in self.networks]
        return FlowDistribution(self._base(base), Flow(steps))

    def embedding(self, posterior: FlowDistribution) -> tf.Tensor:
        """Returns the flow at the base's mean, float32 [B, D]."""
        return posterior.flow.forward(posterior.base.mean())

    def parameters(self, posterior: FlowDistribution) -> dict[str, tf.Tensor]:
        """Returns the base's `z_mean` and `z_log_var` and the embedding `z`, float32 [B, D]."""
        return {**self._base.parameters(posterior.base), "z": self.embedding(posterior)}


def sample_and_log_prob(
    posterior: tfd.Distribution, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes z = f(noise) and log q(z|x) = log N(noise; 0, I) - log |det df/dnoise|.

    It evaluates f forward only: no triangular system is solved and no flow is inverted.

    Args:
        posterior: over [B, D], returned by a head of this module.
        noise: N(0, 1), float32 [..., B, D].

    Returns:
        z, float32 [..., B, D], and log q(z|x), float32 [..., B].
    """
    z = posterior.bijector.forward(noise)
    log_det = posterior.bijector.forward_log_det_jacobian(noise, event_ndims=1)
    return z, posterior.distribution.log_prob(noise) - log_det


def kl_per_dimension(
    posterior: tfd.MultivariateNormalDiag | tfd.MultivariateNormalTriL,
    prior: tfd.MultivariateNormalDiag,
) -> tf.Tensor:
    """Computes KL(q || p) from a Gaussian to a diagonal Gaussian, as one term per dimension.

    For a diagonal posterior: KL(q(z_j|x) || p(z_j)). For a full one, by the chain rule:
    E_q KL(q(z_j|z_1 ... z_(j-1), x) || p(z_j)), where z_j given z_1 ... z_(j-1) has the scale L_jj
    and a mean of variance sum_(k<j) L_jk^2. Each term is at least 0.

    Args:
        posterior: over [B, D].
        prior: over [D].

    Returns:
        float32 [B, D], nats; its sum over the last axis is KL(q || p).
    """
    kl = tfd.kl_divergence(
        tfd.Normal(posterior.mean(), posterior.scale.diag_part()),
        tfd.Normal(prior.mean(), prior.stddev()),
    )
    if isinstance(posterior, tfd.MultivariateNormalTriL):
        scale = posterior.scale.to_dense()
        below = tf.linalg.set_diag(scale, tf.zeros_like(kl)) / prior.stddev()[:, None]
        kl += 0.5 * tf.reduce_sum(tf.math.square(below), -1)
    return kl
