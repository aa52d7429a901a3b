"""Priors p(z)."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class StandardPrior(tf.Module):
    """The prior N(0, I)."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="standard_prior")
        self.latent_dim = latent_dim

    def __call__(self) -> tfd.MultivariateNormalDiag:
        """Returns the distribution over float32 [D]."""
        return tfd.MultivariateNormalDiag(tf.zeros([self.latent_dim]), tf.ones([self.latent_dim]))
