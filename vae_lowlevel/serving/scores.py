"""How well a model describes an image, the same at every call."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import ConditionedModel, Model, to_unit

# Draws from the posterior that `score` averages where the KL has no closed form.
SCORE_DRAWS = 16

# What `anomaly_score` can be, higher for an image that is less like the training images.
ANOMALY_SCORES = {
    "negative_elbo": "`distortion + rate`",
    "distortion": "`distortion`",
    "rate": "`rate`",
    "bias_corrected": "`distortion + rate` + log p*(x), where p*(x) is the likelihood that an "
    "ideal decoder gives the image",
}

LEVELS = 256
# At logits of +-510 the continuous Bernoulli has its mean half a grey level from white or black. It
# has no best logit for these: its density at 0 and 1 grows with the logit without a bound.
MOST_DECODER_OUTPUT = 2.0 * (LEVELS - 1)
_CANDIDATES = 65
_SCALES = 17
_ZOOMS = 3


def choose_score(model: Model, given: str | None) -> str:
    """Returns which of `ANOMALY_SCORES` is the anomaly score of a model.

    Args:
        model: the model.
        given: the name that the user sets; None for the default: `negative_elbo`, or `distortion`
            without a prior.

    Raises:
        ConfigError: the model does not have this score.
    """
    if model.has_prior:
        return given or "negative_elbo"
    if given not in (None, "distortion"):
        raise ConfigError(
            f"--anomaly_score={given} needs a model with a prior p(z), which a sparse autoencoder "
            "does not have; use --anomaly_score=distortion"
        )
    return "distortion"


def score_terms(
    model: ConditionedModel,
    image: tf.Tensor,
    noise: tf.Tensor,
    anomaly_score: str | None = None,
    best_log_probs: np.ndarray | None = None,
) -> dict[str, tf.Tensor]:
    """Computes the terms of the evidence lower bound; the distortion alone without a prior.

    Where the KL has a closed form, `distortion` is computed at the embedding of the image. Where it
    has none, both terms are means over the draws from the posterior that `noise` gives, the same
    noise for every image.

    Args:
        model: a model that knows the labels of the batch.
        image: float32 [B, H, W, C] in [0, 1].
        noise: from N(0, 1), float32 [S, D].
        anomaly_score: which of `ANOMALY_SCORES` the model's anomaly score is; None for the sum of
            the terms.
        best_log_probs: of the model's likelihood, float32 [256], for `bias_corrected`.

    Returns:
        float32 [B] each, nats: `distortion`, -log p(x|z); with a prior `rate`, KL(q(z|x) || p(z)),
        and `elbo` = -(distortion + rate); `anomaly_score`.
    """
    if not model.has_prior:
        distortion = -model.decode(model.embed(image)).log_prob(image)
        return {"distortion": distortion, "anomaly_score": distortion}
    posterior = model.encode(image)
    if model.has_closed_form_kl:
        distortion = -model.decode(model.posterior.embedding(posterior)).log_prob(image)
        rate = tf.reduce_sum(model.kl_per_dimension(posterior), -1)
    else:
        prior = model.prior()

        def draw(noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            z, log_q = model.sample_and_log_prob(
                posterior, tf.broadcast_to(noise, [tf.shape(image)[0], *noise.shape])
            )
            return -model.decode(z).log_prob(image), log_q - prior.log_prob(z)

        terms = tf.TensorSpec([None], tf.float32)
        draws = tf.map_fn(draw, noise, fn_output_signature=(terms, terms))
        distortion, rate = (tf.reduce_mean(term, 0) for term in draws)
    bound = distortion + rate
    terms = {"distortion": distortion, "rate": rate, "elbo": -bound}
    if anomaly_score == "bias_corrected":
        score = bound + best_log_prob(image, best_log_probs)
    else:
        score = terms.get(anomaly_score, bound)
    return {**terms, "anomaly_score": score}


def best_log_prob(image: tf.Tensor, best_log_probs: np.ndarray) -> tf.Tensor:
    """Computes log p*(x), the log-likelihood of an image under the decoder that fits it best.

    The evidence lower bound depends on what the pixel values are: a grey pixel has a lower
    likelihood than a black one, however well it is reconstructed. log p*(x) is the part of the
    bound that no decoder can improve.

    Args:
        image: float32 [B, H, W, C] in [0, 1], rounded to the 256 grey levels.
        best_log_probs: of each grey level, float32 [256].

    Returns:
        float32 [B], nats.

    References:
        Chauhan et al., "Robust Outlier Detection by De-Biasing VAE Likelihoods", 2022, sec. 3.1.
        They subtract it from an importance-sampled log p(x), and this package from the bound.
    """
    level = tf.cast(tf.math.round(image * (LEVELS - 1.0)), tf.int32)
    return tf.reduce_sum(tf.gather(tf.constant(best_log_probs), level), [1, 2, 3])


def best_log_probs(likelihood: Callable[[tf.Tensor], tf.Tensor]) -> np.ndarray:
    """Computes the largest log-likelihood that a decoder can give each grey level of a pixel.

    The maximum is over the decoder's outputs for the pixel, each within +-510. It is found by a
    search that is repeated around its best point. A likelihood must have one maximum along the
    first output, the logit of its mean. A second output, the scale, is searched on 17 values from
    end to end: its best value is at the lower end. What is found:

        bernoulli                 x log x + (1 - x) log(1 - x)
        continuous_bernoulli      the log-density where the mean is x; at most 6.23, for 0 and 1
        gaussian                  -log(scale) - log(2 pi) / 2, the same for all levels
        discretized_logistic      the log-mass of the level's bin where loc is x

    The scale is that of the likelihood if it is the same for all pixels. If the decoder computes
    it, it is the smallest one that it can have, exp(-5).

    Args:
        likelihood: of a model, with its `parameters_per_value`.

    Returns:
        float32 [256], nats.

    Raises:
        ConfigError: the decoder has more outputs per pixel and channel than two.
    """
    outputs = likelihood.parameters_per_value
    if outputs > 2:
        raise ConfigError(
            "--anomaly_score=bias_corrected is for likelihoods of at most 2 decoder outputs per "
            f"pixel and channel, found {outputs}; use another score"
        )
    # Dense near 0: where a logit is large, the mean hardly changes.
    end = math.asinh(MOST_DECODER_OUTPUT)
    scales = np.linspace(-end, end, _SCALES if outputs == 2 else 1)
    x = np.arange(LEVELS)[:, None, None]
    center, width = np.zeros([LEVELS, len(scales), 1]), end
    for _ in range(_ZOOMS):
        steps = np.linspace(-width, width, _CANDIDATES)
        points = np.clip(center + steps, -end, end)  # [256, scales, candidates]
        parameters = [points, np.broadcast_to(scales[:, None], points.shape)][:outputs]
        parameters = np.sinh(np.stack(parameters, -1)).reshape([-1, 1, 1, outputs])
        image = to_unit(np.broadcast_to(x, points.shape).reshape([-1, 1, 1, 1]))
        log_prob = likelihood(tf.constant(parameters, tf.float32)).log_prob(image)
        log_prob = log_prob.numpy().reshape(points.shape)
        best = np.argmax(log_prob, -1)[..., None]
        center = np.take_along_axis(points, best, -1)
        width *= 1.5 * 2.0 / (_CANDIDATES - 1)
    return np.max(log_prob, (1, 2)).astype(np.float32)
