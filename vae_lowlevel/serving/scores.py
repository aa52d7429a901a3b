"""How well a model knows an image, the same at every call."""

from __future__ import annotations

import tensorflow as tf


def score_terms(model: tf.Module, image: tf.Tensor, noise: tf.Tensor) -> dict[str, tf.Tensor]:
    """Computes the terms of the bound, or what a model without a prior has of them.

    Where the KL has a closed form, `distortion` is taken at the point that stands for the image.
    Where it has none, both terms are means over the draws that `noise` makes of the posterior, the
    same noise for every image.

    Args:
        model: a model given its labels.
        image: float32 [B, H, W, C] in [0, 1].
        noise: of N(0, 1), float32 [K, D].

    Returns:
        float32 [B] each, nats: `distortion`, -log p(x|z); with a prior `rate`, KL(q(z|x) || p(z)),
        and `elbo` = -(distortion + rate); `anomaly_score`, the sum of the terms.
    """
    if not hasattr(model, "prior"):
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
