"""Approximate posteriors q(z|x).

A posterior is a TFP distribution that transforms standard normal noise by its `bijector`, so that
`z = posterior.bijector.forward(noise)` is a reparameterised draw from noise the caller chose.
"""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions

# exp(-5) to exp(5): no unit of an image's posterior needs a scale outside, and float32 exp, its
# square and the KL stay far from overflow.
LOG_VARIANCE_BOUND = 10.0


class DiagonalPosterior(tf.Module):
    """The Gaussian q(z|x) = N(loc, diag(exp(log_variance))).

    The log-variance is bounded smoothly: log_variance = 10 tanh(raw / 10), in (-10, 10).

    Attributes:
        parameter_size: features an encoder has to give for it, 2 D.
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="diagonal_posterior")
        self.latent_dim = latent_dim
        self.parameter_size = 2 * latent_dim

    def __call__(self, parameters: tf.Tensor) -> tfd.MultivariateNormalDiag:
        """Maps [B, 2 D] to the posterior over float32 [B, D]."""
        loc, raw = tf.split(tf.cast(parameters, tf.float32), 2, axis=-1)
        log_variance = LOG_VARIANCE_BOUND * tf.math.tanh(raw / LOG_VARIANCE_BOUND)
        return tfd.MultivariateNormalDiag(loc, tf.math.exp(0.5 * log_variance))
