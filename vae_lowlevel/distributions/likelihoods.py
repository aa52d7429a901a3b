"""Likelihoods p(x|z) of an image of floats in [0, 1]."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


class BernoulliLikelihood(tf.Module):
    """Independent Bernoulli pixels, from logits.

    -log_prob is the cross-entropy, also for grey levels between 0 and 1.

    Attributes:
        parameters_per_value: decoder channels for each image channel.
    """

    parameters_per_value = 1

    def __init__(self) -> None:
        super().__init__(name="bernoulli_likelihood")

    def __call__(self, logits: tf.Tensor) -> tfd.Independent:
        """Maps logits [B, H, W, C] to the distribution of float32 [B, H, W, C]."""
        logits = tf.cast(logits, tf.float32)
        return tfd.Independent(tfd.Bernoulli(logits=logits, dtype=tf.float32), 3)

    def pixel_loss(self, image: tf.Tensor, log_prob: tf.Tensor, mse: tf.Tensor) -> tf.Tensor:
        """Returns the cross-entropy a pixel, [B]."""
        del mse
        return -log_prob / image.shape[1:].num_elements()


class GaussianLikelihood(tf.Module):
    """Independent normal pixels N(sigmoid(logits), scale^2).

    Args:
        scale: standard deviation of a pixel, in units of the [0, 1] range.

    Attributes:
        parameters_per_value: decoder channels for each image channel.
    """

    parameters_per_value = 1

    def __init__(self, scale: float) -> None:
        super().__init__(name="gaussian_likelihood")
        self.scale = scale

    def __call__(self, logits: tf.Tensor) -> tfd.Independent:
        """Maps logits [B, H, W, C] to the distribution of float32 [B, H, W, C]."""
        loc = tf.math.sigmoid(tf.cast(logits, tf.float32))
        return tfd.Independent(tfd.Normal(loc, self.scale), 3)

    def pixel_loss(self, image: tf.Tensor, log_prob: tf.Tensor, mse: tf.Tensor) -> tf.Tensor:
        """Returns the squared error a pixel, [B], whatever the scale."""
        del image, log_prob
        return mse
