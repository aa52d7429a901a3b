"""Likelihoods p(x|z) of an image of floats in [0, 1], and the scales of their pixels.

A learned scale is exp(5 tanh(raw / 5)), between 0.0067 (less than two of the 256 grey levels) and
148. Without the bounds it would shrink to 0 where a pixel never varies: a density is not bounded.
"""

from __future__ import annotations

import math

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import inverse_soft_clip, soft_clip
from vae_lowlevel.distributions.discretized_logistic import DiscretizedLogistic

tfd = tfp.distributions

LOG_SCALE_BOUND = 5.0


class FixedScale(tf.Module):
    """One constant scale for all pixels.

    Args:
        scale: greater than 0.

    Attributes:
        parameters_per_value: decoder channels that it needs per image channel.
    """

    parameters_per_value = 0

    def __init__(self, scale: float) -> None:
        super().__init__(name="fixed_scale")
        self.scale = scale

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns the scale, float32 []; `raw` is empty."""
        del raw
        return tf.constant(self.scale, tf.float32)


class LearnedScale(tf.Module):
    """One learned scale for all pixels.

    Args:
        initial: its initial value, in (exp(-5), exp(5)).

    Attributes:
        parameters_per_value: decoder channels that it needs per image channel.
    """

    parameters_per_value = 0

    def __init__(self, initial: float) -> None:
        super().__init__(name="learned_scale")
        raw = inverse_soft_clip(math.log(initial), LOG_SCALE_BOUND)
        with self.name_scope:
            self.raw_log_scale = tf.Variable(raw, dtype=tf.float32, name="raw_log_scale")

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Returns the scale, float32 []; `raw` is empty."""
        del raw
        return tf.math.exp(soft_clip(self.raw_log_scale, LOG_SCALE_BOUND))


class PixelScale(tf.Module):
    """A scale for each pixel and channel, computed by the decoder.

    Args:
        initial: the scale where the decoder's output is 0, in (exp(-5), exp(5)).

    Attributes:
        parameters_per_value: decoder channels that it needs per image channel.
    """

    parameters_per_value = 1

    def __init__(self, initial: float) -> None:
        super().__init__(name="pixel_scale")
        self._offset = inverse_soft_clip(math.log(initial), LOG_SCALE_BOUND)

    def __call__(self, raw: tf.Tensor) -> tf.Tensor:
        """Maps float32 [B, H, W, C] to scales of the same shape."""
        return tf.math.exp(soft_clip(raw + self._offset, LOG_SCALE_BOUND))


Scale = FixedScale | LearnedScale | PixelScale


class Likelihood(tf.Module):
    """Base of the likelihoods: a call maps the decoder's output to a distribution over images.

    Attributes:
        parameters_per_value: decoder channels per image channel.
    """

    parameters_per_value = 1

    def pixel_loss(self, image: tf.Tensor, log_prob: tf.Tensor, mse: tf.Tensor) -> tf.Tensor:
        """Computes the reconstruction error per pixel and channel: -log_prob, in nats.

        Args:
            image: float32 [B, H, W, C].
            log_prob: log p(image|z), float32 [B].
            mse: squared error per pixel and channel of the mean image, float32 [B].

        Returns:
            float32 [B].
        """
        del mse
        return -log_prob / image.shape[1:].num_elements()


class BernoulliLikelihood(Likelihood):
    """Independent Bernoulli pixels, from logits.

    -log_prob is the cross-entropy, also for grey levels between 0 and 1.
    """

    def __init__(self) -> None:
        super().__init__(name="bernoulli_likelihood")

    def __call__(self, logits: tf.Tensor) -> tfd.Independent:
        """Maps logits [B, H, W, C] to the distribution of float32 [B, H, W, C]."""
        logits = tf.cast(logits, tf.float32)
        return tfd.Independent(Bernoulli(logits=logits, dtype=tf.float32), 3)


class Bernoulli(tfd.Bernoulli):
    """TensorFlow Probability's Bernoulli with log_prob(x) = x logits - softplus(logits).

    For finite logits this is equal, with one softplus instead of two: on a CPU a twentieth of the
    training step of a dense network.
    """

    def _log_prob(self, event: tf.Tensor) -> tf.Tensor:
        logits = self.logits_parameter()
        return tf.cast(event, logits.dtype) * logits - tf.math.softplus(logits)


class ContinuousBernoulliLikelihood(Likelihood):
    """Independent continuous Bernoulli pixels, from logits: a density on [0, 1].

    -log_prob is the cross-entropy minus the logarithm of the constant that makes the Bernoulli a
    density of grey levels.

    References:
        Loaiza-Ganem, Cunningham, "The continuous Bernoulli: fixing a pervasive error in
        variational autoencoders", 2019.
    """

    def __init__(self) -> None:
        super().__init__(name="continuous_bernoulli_likelihood")

    def __call__(self, logits: tf.Tensor) -> tfd.Independent:
        """Maps logits [B, H, W, C] to the distribution of float32 [B, H, W, C]."""
        logits = tf.cast(logits, tf.float32)
        return tfd.Independent(tfd.ContinuousBernoulli(logits=logits), 3)


class GaussianLikelihood(Likelihood):
    """Independent normal pixels N(sigmoid(logits), scale^2).

    Args:
        scale: the standard deviation of a pixel, in units of the [0, 1] range.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__(name="gaussian_likelihood")
        self.scale = scale
        self.parameters_per_value = 1 + scale.parameters_per_value

    def __call__(self, parameters: tf.Tensor) -> tfd.Independent:
        """Maps parameters [B, H, W, C or 2 C] to the distribution of float32 [B, H, W, C]."""
        loc, raw = _split_loc(parameters, self.parameters_per_value)
        return tfd.Independent(tfd.Normal(loc, self.scale(raw)), 3)

    def pixel_loss(self, image: tf.Tensor, log_prob: tf.Tensor, mse: tf.Tensor) -> tf.Tensor:
        """Returns the squared error `mse`, whatever the scale; float32 [B]."""
        del image, log_prob
        return mse


class DiscretizedLogisticLikelihood(Likelihood):
    """Independent pixels on the 256 grey levels, from a logistic around sigmoid(logits).

    Args:
        scale: of the logistic, in units of the [0, 1] range.
    """

    def __init__(self, scale: Scale) -> None:
        super().__init__(name="discretized_logistic_likelihood")
        self.scale = scale
        self.parameters_per_value = 1 + scale.parameters_per_value

    def __call__(self, parameters: tf.Tensor) -> tfd.Independent:
        """Maps parameters [B, H, W, C or 2 C] to the distribution of float32 [B, H, W, C]."""
        loc, raw = _split_loc(parameters, self.parameters_per_value)
        return tfd.Independent(DiscretizedLogistic(loc, self.scale(raw)), 3)


def _split_loc(parameters: tf.Tensor, parameters_per_value: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns loc = sigmoid(logits), [B, H, W, C], and the parameters of the scale."""
    parameters = tf.cast(parameters, tf.float32)
    channels = parameters.shape[-1] // parameters_per_value
    logits, raw = tf.split(parameters, [channels, -1], axis=-1)
    return tf.math.sigmoid(logits), raw
