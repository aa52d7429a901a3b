"""The conditional variational autoencoder: a VAE whose networks also see the label."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.priors import tempered
from vae_lowlevel.models.vae import VariationalAutoencoder

tfd = tfp.distributions


class ConditionalVAE(tf.Module):
    """A latent variable model p(z) p(x|z, y) with a posterior q(z|x, y), y the class of x.

    It follows `types.Model`; `conditioned_on(label)` returns a `VariationalAutoencoder` for one
    batch. The encoder sees the label as one more image channel per class, 1 for the class of the
    example and 0 for the others, the decoder as one more number per class next to z. For an unknown
    label, -1, all of them are 0; the model learns this case only from data with unknown labels.

    Args:
        vae: its encoder accepts [B, H, W, C + num_classes] and its decoder [B, D + num_classes];
            its `image_shape` and `latent_dim` do not count the label.
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
        # The parts and not the VAE, so that variables are named as in a model without labels.
        self.encoder = vae.encoder
        self.posterior = vae.posterior
        self.prior = vae.prior
        self.decoder = vae.decoder
        self.likelihood = vae.likelihood

    def conditioned_on(self, label: tf.Tensor) -> VariationalAutoencoder:
        """Returns the model p(z) p(x|z, label) for a batch with the labels int32 [B]."""
        one_hot = tf.one_hot(label, self.num_classes)

        def decode(z: tf.Tensor) -> tf.Tensor:
            # Several draws per example come one after another, each for the whole batch.
            draws = tf.shape(z)[0] // tf.maximum(tf.shape(label)[0], 1)
            return self.decoder(tf.concat([z, tf.tile(one_hot, [draws, 1])], -1))

        height, width, _ = self.image_shape
        planes = tf.tile(one_hot[:, None, None, :], [1, height, width, 1])
        return VariationalAutoencoder(
            image_shape=self.image_shape,
            latent_dim=self.latent_dim,
            encoder=lambda image: self.encoder(tf.concat([image, planes], -1)),
            posterior=self.posterior,
            prior=self.prior,
            decoder=decode,
            likelihood=self.likelihood,
        )

    def tempered(self, prior: tfd.Distribution, temperature: tf.Tensor) -> tfd.Distribution:
        """Returns `prior` with its scale multiplied by `temperature`; see `priors.tempered`."""
        return tempered(prior, temperature)

    def sample(self, n: int, seed: tf.Tensor, label: tf.Tensor | None = None) -> tf.Tensor:
        """Returns mean images of `n` draws from the prior, float32 [n, H, W, C].

        Args:
            n: number of images.
            seed: int32 [2].
            label: int32 [n], or one for all images; None for the classes 0, 1, ... in turn.
        """
        label = tf.range(n) % self.num_classes if label is None else label
        return self.conditioned_on(tf.broadcast_to(tf.cast(label, tf.int32), [n])).sample(n, seed)
