"""Approximate posteriors q(z|x).

A posterior is a TFP distribution that transforms standard normal noise by its `bijector`, so that
`z = posterior.bijector.forward(noise)` is a reparameterised draw from noise the caller chose;
`sample_and_log_prob` returns log q(z|x) with it. The head that made a posterior describes it:
`embedding` is the one z that represents an image, `parameters` are its parameters by name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import soft_clip
from vae_lowlevel.distributions.flows import AutoregressiveStep, Flow

tfb = tfp.bijectors
tfd = tfp.distributions

# exp(-5) to exp(5): no unit of an image's posterior needs a scale outside, and float32 exp, its
# square and the KL stay far from overflow.
LOG_VARIANCE_BOUND = 10.0

# Of the entries of a lower-triangular scale beneath its diagonal, for the same reason.
OFF_DIAGONAL_BOUND = 100.0


def sample_and_log_prob(
    posterior: tfd.Distribution, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns z = f(noise), float32 [..., B, D], and log q(z|x), float32 [..., B].

    log q(z|x) = log N(noise; 0, I) - log |det df/dnoise|: forward only, so neither a triangular
    matrix has to be solved for nor a flow inverted.

    Args:
        posterior: over [B, D], as a head of this file makes it.
        noise: N(0, 1), float32 [..., B, D].
    """
    z = posterior.bijector.forward(noise)
    log_det = posterior.bijector.forward_log_det_jacobian(noise, event_ndims=1)
    return z, posterior.distribution.log_prob(noise) - log_det


class DiagonalPosterior(tf.Module):
    """The Gaussian q(z|x) = N(loc, diag(exp(log_variance))).

    The log-variance is bounded smoothly: log_variance = 10 tanh(raw / 10), in (-10, 10).

    Attributes:
        parameter_size: features an encoder has to give for it, 2 D.
        is_gaussian: whether q(z|x) is a Gaussian, whose KL may have a closed form.
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

    def parameters(self, posterior: tfd.MultivariateNormalDiag) -> dict[str, tf.Tensor]:
        """Returns `z_mean` and `z_log_var`, float32 [B, D]."""
        return {
            "z_mean": posterior.mean(),
            "z_log_var": 2.0 * tf.math.log(posterior.stddev()),
        }


class FullPosterior(tf.Module):
    """The Gaussian q(z|x) = N(loc, L L^T) with a lower-triangular L.

    The diagonal of L is that of `DiagonalPosterior`, exp(5 tanh(raw / 10)). The entries beneath it
    are 100 tanh(raw / (100 D)): divided by D, as up to D - 1 of them add to the noise of one
    dimension, which would drown a new encoder's signal.

    Attributes:
        parameter_size: features an encoder has to give for it, D + D (D + 1) / 2.
        is_gaussian: whether q(z|x) is a Gaussian, whose KL may have a closed form.

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

    def parameters(self, posterior: tfd.MultivariateNormalTriL) -> dict[str, tf.Tensor]:
        """Returns `z_mean`, float32 [B, D], and `z_scale_tril`, L, float32 [B, D, D]."""
        return {"z_mean": posterior.mean(), "z_scale_tril": posterior.scale.to_dense()}


class FlowPosterior(tfd.TransformedDistribution):
    """A diagonal Gaussian sent through a flow.

    Args:
        base: q(z_0|x), over [B, D].
        flow: z_0 -> z.

    Attributes:
        base: as given.
        flow: as given.
    """

    def __init__(self, base: tfd.MultivariateNormalDiag, flow: Flow) -> None:
        parameters = dict(locals())
        super().__init__(
            base.distribution, tfb.Chain([flow, base.bijector]), parameters=parameters, name="flow"
        )
        self.base = base
        self.flow = flow


class AutoregressiveFlowPosterior(tf.Module):
    """A diagonal Gaussian sent through an inverse autoregressive flow (IAF).

    The encoder gives the Gaussian's parameters and features h, which every step sees.

    Args:
        latent_dim: D.
        context_features: size of h.
        networks: one autoregressive network a step, (x [..., B, D], h [B, H]) -> m, s [..., B, D].

    Attributes:
        parameter_size: features an encoder has to give for it, 2 D + H.
        is_gaussian: whether q(z|x) is a Gaussian, whose KL may have a closed form.

    References:
        Kingma et al., "Improved Variational Predictor with Inverse Autoregressive Flow", 2016,
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

    def __call__(self, parameters: tf.Tensor) -> FlowPosterior:
        """Maps [B, 2 D + H] to the posterior over float32 [B, D]."""
        parameters = tf.cast(parameters, tf.float32)
        base, context = tf.split(parameters, [self._base.parameter_size, -1], axis=-1)
        steps = [AutoregressiveStep(network, context) for network in self.networks]
        return FlowPosterior(self._base(base), Flow(steps))

    def embedding(self, posterior: FlowPosterior) -> tf.Tensor:
        """Returns the flow at the base's mean, float32 [B, D]."""
        return posterior.flow.forward(posterior.base.mean())

    def parameters(self, posterior: FlowPosterior) -> dict[str, tf.Tensor]:
        """Returns the base's `z_mean` and `z_log_var` and the point `z`, float32 [B, D]."""
        return {**self._base.parameters(posterior.base), "z": self.embedding(posterior)}


tfd = tfp.distributions


def kl_per_dimension(
    posterior: tfd.MultivariateNormalDiag | tfd.MultivariateNormalTriL,
    prior: tfd.MultivariateNormalDiag,
) -> tf.Tensor:
    """Computes KL(q || p) of a Gaussian from a diagonal Gaussian, in the parts of its dimensions.

    Of a diagonal posterior: KL(q(z_j|x) || p(z_j)). Of a full one, by the chain rule:
    E_q KL(q(z_j|z_1 ... z_(j-1), x) || p(z_j)), where z_j given the dimensions before it has the
    scale L_jj and a mean that varies by sum_(k<j) L_jk^2. Each part is at least 0.

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
        before = tf.linalg.set_diag(scale, tf.zeros_like(kl)) / prior.stddev()[:, None]
        kl += 0.5 * tf.reduce_sum(tf.math.square(before), -1)
    return kl
