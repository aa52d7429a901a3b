"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.divergence import kl_per_dimension

tfd = tfp.distributions


class VAE(tf.Module):
    """A latent variable model p(z) p(x|z) with an amortised posterior q(z|x).

    Args:
        image_shape: (H, W, C).
        latent_dim: D.
        encoder: image [B, H, W, C] -> posterior parameters [B, P].
        posterior: parameters [B, P] -> distribution over [B, D].
        prior: () -> distribution over [D].
        decoder: z [B, D] -> likelihood parameters [B, H, W, K].
        likelihood: parameters [B, H, W, K] -> distribution over [B, H, W, C].

    References:
        Kingma, Welling, "Auto-Encoding Variational Bayes", 2014.
    """

    def __init__(
        self,
        *,
        image_shape: tuple[int, int, int],
        latent_dim: int,
        encoder: Callable[[tf.Tensor], tf.Tensor],
        posterior: Callable[[tf.Tensor], tfd.Distribution],
        prior: Callable[[], tfd.Distribution],
        decoder: Callable[[tf.Tensor], tf.Tensor],
        likelihood: Callable[[tf.Tensor], tfd.Distribution],
    ) -> None:
        super().__init__(name="vae")
        self.image_shape = tuple(image_shape)
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder
        self.likelihood = likelihood

    def encode(self, image: tf.Tensor) -> tfd.Distribution:
        """Returns q(z|x) over float32 [B, D] for image float32 [B, H, W, C] in [0, 1]."""
        return self.posterior(self.encoder(image))

    def decode(self, z: tf.Tensor) -> tfd.Distribution:
        """Returns p(x|z) over float32 [B, H, W, C] for z float32 [B, D]."""
        return self.likelihood(self.decoder(z))

    def kl_per_dimension(self, posterior: tfd.Distribution) -> tf.Tensor:
        """Returns KL(q(z_j|x) || p(z_j)) in nats, float32 [B, D]."""
        return kl_per_dimension(posterior, self.prior())

    def reconstruct(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the mean image of the posterior mean, float32 [B, H, W, C]."""
        return self.decode(self.encode(image).mean()).mean()

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Returns mean images of `n` draws from the prior, float32 [n, H, W, C].

        Args:
            n: how many.
            seed: int32 [2].
        """
        return self.decode(self.prior().sample(n, seed=seed)).mean()

    def __call__(self, image: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes, draws one z an image and decodes it.

        Args:
            image: float32 [B, H, W, C] in [0, 1].
            seed: int32 [2].

        Returns:
            `reconstruction` [B, H, W, C] in [0, 1], `z_mean`, `z_log_var`, `z` [B, D]; float32.
        """
        posterior = self.encode(image)
        z = posterior.sample(seed=seed)
        return {
            "reconstruction": self.decode(z).mean(),
            "z_mean": posterior.mean(),
            "z_log_var": 2.0 * tf.math.log(posterior.stddev()),
            "z": z,
        }
