"""The KL divergence of a posterior from the prior."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

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
