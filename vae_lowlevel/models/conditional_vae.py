"""The conditional variational autoencoder: a VAE whose networks also see the label."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.priors import tempered
from vae_lowlevel.models.vae import VariationalAutoencoder

tfd = tfp.distributions


class ConditionalVAE(tf.Module):
    """A latent variable model p(z) p(x|z, y) with a posterior q(z|x, y), y the class of x.

    Once labels are given it is a `VariationalAutoencoder`, which
    `conditioned_on` returns. The label enters the encoder as one
    image channel a class, all 1 for the own class and all 0 for the others, and the decoder as as
    many numbers beside z. An unknown label, -1, is 0 everywhere: what no class adds to. Only data
    with unknown labels train for it.

    Args:
        vae: its encoder takes images [B, H, W, C + num_classes], its decoder
            [B, D + num_classes]; its `image_shape` and `latent_dim` are those without the label.
        num_classes: K; labels are int32 in [-1, K).

    References:
        Sohn, Lee, Yan, "Learning Structured Output Representation using Deep Conditional
        Generative Models", 2015.
        Kingma et al., "Semi-supervised Learning with Deep Generative Models", 2014, eq. 2 (M2).
    """

    has_prior = True

    def __init__(self, vae: VariationalAutoencoder, num_classes: int) -> None:
        super().__init__(name="conditional_vae")
        self.image_shape = vae.image_shape
        self.latent_dim = vae.latent_dim
        self.num_classes = num_classes
        # Its parts, not the VAE: they go by the same names as in a model without labels.
        self.encoder = vae.encoder
        self.posterior = vae.posterior
        self.prior = vae.prior
        self.decoder = vae.decoder
        self.likelihood = vae.likelihood

    def conditioned_on(self, label: tf.Tensor) -> VariationalAutoencoder:
        """Returns the model p(z) p(x|z, label), for batches of the labels int32 [B]."""
        one_hot = tf.one_hot(label, self.num_classes)
        height, width, _ = self.image_shape
        planes = tf.tile(one_hot[:, None, None, :], [1, height, width, 1])
        return VariationalAutoencoder(
            image_shape=self.image_shape,
            latent_dim=self.latent_dim,
            encoder=lambda image: self.encoder(tf.concat([image, planes], -1)),
            posterior=self.posterior,
            prior=self.prior,
            decoder=lambda z: self.decoder(tf.concat([z, one_hot], -1)),
            likelihood=self.likelihood,
        )

    def tempered(self, prior: tfd.Distribution, temperature: tf.Tensor) -> tfd.Distribution:
        """Returns the prior with its scale times the temperature, a scalar at least 0."""
        return tempered(prior, temperature)

    def encode(self, image: tf.Tensor, label: tf.Tensor) -> tfd.Distribution:
        """Returns q(z|x, y) over float32 [B, D] for image [B, H, W, C] and label int32 [B]."""
        return self.conditioned_on(label).encode(image)

    def decode(self, z: tf.Tensor, label: tf.Tensor) -> tfd.Distribution:
        """Returns p(x|z, y) over float32 [B, H, W, C] for z [B, D] and label int32 [B]."""
        return self.conditioned_on(label).decode(z)

    def reconstruct(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Returns the mean image of the posterior mean, float32 [B, H, W, C]."""
        return self.conditioned_on(label).reconstruct(image)

    def sample(self, n: int, seed: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        """Returns mean images of `n` draws from the prior, float32 [n, H, W, C].

        Args:
            n: how many.
            seed: int32 [2].
            label: int32 [n], or one for all; None for the classes in turn, 0, 1, ... and again.
        """
        label = tf.range(n) % self.num_classes if label is None else label
        return self.conditioned_on(tf.broadcast_to(tf.cast(label, tf.int32), [n])).sample(n, seed)

    def __call__(self, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encodes, draws one z an image and decodes it; see `VariationalAutoencoder.__call__`."""
        return self.conditioned_on(label)(image, seed)
