"""The one z that represents each image of a split."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.term_means import PaddedBatches
from vae_lowlevel.types import Model, stored_spec, to_unit

# (image [B, H, W, C] as stored, label int32 [B]) -> z float32 [B, D].
Embedding = Callable[[np.ndarray, np.ndarray], tf.Tensor]


def compile_embedding(model: Model, batch_size: int) -> Embedding:
    """Returns a function of image uint8 [B, H, W, C] and label int32 [B]: the z of each, [B, D].

    A conditional model is told the label, and need not represent the class in z.
    """
    embed = tf.function(
        lambda image, label: model.conditioned_on(label).embed(to_unit(image)),
        input_signature=[
            stored_spec(batch_size, model.image_shape),
            tf.TensorSpec([batch_size], tf.int32),
        ],
        autograph=False,
    )
    # Traced here and not by its first call, which may be its only one: TensorFlow counts the calls
    # of all models together and would warn of retracing after the fifth model of a process.
    embed.get_concrete_function()
    return embed


def embed_batches(embed: Embedding, batches: PaddedBatches) -> np.ndarray:
    """Returns the z of all images, float32 [N, D]; there must be at least one batch."""
    return np.concatenate([embed(x.image, x.label).numpy()[mask > 0] for x, mask in batches])
