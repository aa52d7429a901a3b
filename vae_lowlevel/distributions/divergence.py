"""The KL divergence of a posterior from the prior."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def kl_per_dimension(posterior: tfd.Distribution, prior: tfd.Distribution) -> tf.Tensor:
    """Computes KL(q(z_j|x) || p(z_j)) of two diagonal Gaussians.

    Args:
        posterior: MultivariateNormalDiag over [B, D].
        prior: MultivariateNormalDiag over [D].

    Returns:
        float32 [B, D], nats; its sum over the last axis is KL(q || p).
    """
    return tfd.kl_divergence(
        tfd.Normal(posterior.mean(), posterior.stddev()), tfd.Normal(prior.mean(), prior.stddev())
    )
