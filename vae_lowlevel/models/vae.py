"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.posteriors import kl_per_dimension, sample_and_log_prob
from vae_lowlevel.distributions.priors import tempered

tfd = tfp.distributions


class VariationalAutoencoder(tf.Module):
    """A latent variable model p(z) p(x|z) with an amortised posterior q(z|x).

    It follows `types.Model` and, because it takes no labels, also `types.ConditionedModel`.

    Args:
        image_shape: (H, W, C).
        latent_dim: D.
        encoder: image [B, H, W, C] -> posterior parameters [B, P].
        posterior: parameters [B, P] -> distribution over [B, D]; see `distributions.posteriors`.
        prior: () -> distribution over [D]; see `distributions.priors`.
        decoder: z [B, D] -> likelihood parameters [B, H, W, K].
        likelihood: parameters [B, H, W, K] -> distribution over [B, H, W, C].

    References:
        Kingma, Welling, "Auto-Encoding Variational Bayes", 2014.
    """

    num_classes = 0
    has_prior = True

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
        """Returns p(x|z) over float32 [..., B, H, W, C] for z float32 [..., B, D]."""
        z = tf.convert_to_tensor(z)
        if z.shape.rank == 2:
            return self.likelihood(self.decoder(z))
        parameters = self.decoder(tf.reshape(z, [-1, self.latent_dim]))
        shape = tf.concat([tf.shape(z)[:-1], parameters.shape[1:]], 0)
        return self.likelihood(tf.reshape(parameters, shape))

    @property
    def has_closed_form_kl(self) -> bool:
        """Whether `kl_per_dimension` applies: q(z|x) is Gaussian and p(z) a diagonal Gaussian."""
        return self.posterior.is_gaussian and self.prior.is_gaussian

    def tempered(self, prior: tfd.Distribution, temperature: tf.Tensor) -> tfd.Distribution:
        """Returns `prior` with its scale multiplied by `temperature`; see `priors.tempered`."""
        return tempered(prior, temperature)

    def kl_per_dimension(self, posterior: tfd.Distribution) -> tf.Tensor:
        """Returns the closed-form KL(q(z|x) || p(z)) per dimension, float32 [B, D], in nats."""
        return kl_per_dimension(posterior, self.prior())

    def sample_and_log_prob(
        self, posterior: tfd.Distribution, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Draws z from q(z|x) with the caller's noise; see `posteriors.sample_and_log_prob`.

        Args:
            posterior: what `encode` returned, over [B, D].
            noise: N(0, 1), float32 [..., B, D].

        Returns:
            z, float32 [..., B, D], and log q(z|x), float32 [..., B].
        """
        return sample_and_log_prob(posterior, noise)

    def embed(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the one z that represents each image, float32 [B, D].

        It is the posterior mean; for a flow, the flow at the mean of its base.
        """
        return self.posterior.embedding(self.encode(image))

    def describe(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the parameters of q(z|x) by name, float32.

        Diagonal: `z_mean` and `z_log_var`, [B, D]. Full: `z_mean` and `z_scale_tril` [B, D, D].
        Flow: `z_mean` and `z_log_var` of its base, and the embedding `z` [B, D]. Ladder: `z_mean`
        and `z_log_var` of each level given the means of the levels above it, [B, D].
        """
        return self.posterior.parameters(self.encode(image))

    def reconstruct(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the mean image of p(x|z) at z = embed(image), float32 [B, H, W, C]."""
        return self.decode(self.embed(image)).mean()

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Returns mean images of `n` draws from the prior, float32 [n, H, W, C].

        Args:
            n: number of images.
            seed: int32 [2].
        """
        return self.decode(self.prior().sample(n, seed=seed)).mean()

    def conditioned_on(self, label: tf.Tensor | None) -> VariationalAutoencoder:
        """Returns the model itself, because it takes no labels."""
        del label
        return self

    def __call__(self, image: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes images, draws one z per image and decodes it.

        Args:
            image: float32 [B, H, W, C] in [0, 1].
            seed: int32 [2].

        Returns:
            What `describe` returns, but with the drawn `z` [B, D], and `reconstruction`, the mean
            image at that z, [B, H, W, C] in [0, 1]; float32.
        """
        posterior = self.encode(image)
        z = posterior.sample(seed=seed)
        return {
            **self.posterior.parameters(posterior),
            "reconstruction": self.decode(z).mean(),
            "z": z,
        }
