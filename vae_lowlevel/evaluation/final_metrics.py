"""The numbers reported of a finished run, from the test split."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from vae_lowlevel.evaluation.image_quality import image_quality
from vae_lowlevel.evaluation.latents import active_units, latent_statistics
from vae_lowlevel.evaluation.term_means import PaddedBatches, TermMeans
from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.types import Batch


def measure_test_split(
    model: tf.Module,
    objective: Callable[..., Any],
    batches: PaddedBatches,
    *,
    batch_size: int,
    seed: int,
    corruption: Callable[[tf.Tensor, BatchNoise], tf.Tensor] | None = None,
) -> dict[str, Any]:
    """Measures a model on the test split.

    Args:
        model: of float32 throughout, with its final weights.
        objective: with the final KL weight.
        batches: padded batches of the test split.
        batch_size: rows of every batch.
        seed: of the run.
        corruption: (image, noise) -> what the encoder sees; None for the image itself. Measured
            against the image all the same.

    Returns:
        The objective's terms, of a VAE `elbo`, `distortion`, `rate`, `loss` (one draw of z an
        image; nats an example, `loss` in the objective's own unit); `mse`, `psnr` (dB), `ssim` of
        reconstructions from the posterior mean, averaged over images; `active_units`; `latents`,
        min, max, mean and std of each dimension's posterior mean. For a sparse autoencoder read
        code where it says posterior mean.
    """
    means = TermMeans(
        model,
        objective,
        batch_size=batch_size,
        seed=seed,
        per_example=_reconstruction_quality,
        corruption=corruption,
    )
    terms, z_mean = means(batches, step=0)
    return {**terms, "active_units": active_units(z_mean), "latents": latent_statistics(z_mean)}


def _reconstruction_quality(model: tf.Module, batch: Batch) -> dict[str, tf.Tensor]:
    reconstruction = model.given(batch.label).reconstruct(batch.encoder_input)
    return image_quality(batch.image, reconstruction)
