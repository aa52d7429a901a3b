"""How well a model describes an image, the same at every call."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.types import ConditionedModel

# Draws from the posterior that `score` averages where the KL has no closed form.
SCORE_DRAWS = 16


def score_terms(
    model: ConditionedModel, image: tf.Tensor, noise: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Computes the terms of the evidence lower bound; the distortion alone without a prior.

    Where the KL has a closed form, `distortion` is computed at the embedding of the image. Where it
    has none, both terms are means over the draws from the posterior that `noise` gives, the same
    noise for every image.

    Args:
        model: a model that knows the labels of the batch.
        image: float32 [B, H, W, C] in [0, 1].
        noise: from N(0, 1), float32 [S, D].

    Returns:
        float32 [B] each, nats: `distortion`, -log p(x|z); with a prior `rate`, KL(q(z|x) || p(z)),
        and `elbo` = -(distortion + rate); `anomaly_score`, the sum of the terms.
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
    return {"distortion": distortion, "rate": rate, "elbo": -bound, "anomaly_score": bound}
