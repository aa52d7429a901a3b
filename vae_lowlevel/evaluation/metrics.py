"""The numbers reported for a finished run, from the test split."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.structural_similarity import ssim
from vae_lowlevel.evaluation.term_means import PaddedBatches, TermMeans
from vae_lowlevel.evaluation.units import unit_rates
from vae_lowlevel.types import (
    Batch,
    ConditionedModel,
    Model,
    Objective,
    Transform,
    is_vector_shape,
    psnr,
)


def image_quality(image: tf.Tensor, reconstruction: tf.Tensor) -> dict[str, tf.Tensor]:
    """Compares images with their reconstructions.

    Args:
        image: float32 [B, H, W, C] in [0, 1].
        reconstruction: as `image`.

    Returns:
        float32 [B] each: `mse` per pixel, `psnr` = -10 log10(mse) in dB, and, not for vectors,
        `ssim` in [-1, 1].
    """
    mse = tf.reduce_mean(tf.math.squared_difference(image, reconstruction), [1, 2, 3])
    quality = {"mse": mse, "psnr": psnr(mse)}
    if not is_vector_shape(image.shape[1:]):
        quality["ssim"] = ssim(image, reconstruction)
    return quality


# Burda et al. count a unit as active when the variance of its posterior mean exceeds this.
ACTIVE_VARIANCE = 0.01


def active_units(z_mean: np.ndarray) -> int:
    """Counts latent dimensions whose posterior mean varies over the data: variance > 0.01.

    Args:
        z_mean: float [N, D], posterior means.

    References:
        Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, sec. 5.2.
    """
    return int(np.sum(np.var(z_mean, axis=0) > ACTIVE_VARIANCE))


def latent_statistics(z_mean: np.ndarray) -> list[dict[str, float]]:
    """Returns min, max, mean and std of each latent dimension of float [N, D]."""
    return [
        {
            "min": float(column.min()),
            "max": float(column.max()),
            "mean": float(column.mean()),
            "std": float(column.std()),
        }
        for column in z_mean.T.astype(np.float64)
    ]


def measure_test_split(
    model: Model,
    objective: Objective,
    batches: PaddedBatches,
    *,
    batch_size: int,
    seed: int,
    transform: Transform | None = None,
) -> dict[str, Any]:
    """Measures a model on the test split.

    Args:
        model: in float32, with its final weights.
        objective: with the final KL weight.
        batches: padded batches of the test split.
        batch_size: rows of every batch.
        seed: of the run.
        transform: (batch, noise) -> batch, such as a corruption of what the encoder sees; None
            for none. Reconstructions are compared with the batch's image in any case.

    Returns:
        The objective's terms, for a VAE `elbo`, `distortion`, `rate`, `loss` (one draw of z per
        image; nats per example, `loss` in the objective's own unit); `mse`, `psnr` (dB), `ssim` of
        reconstructions from the posterior mean, averaged over images; `active_units`; `latents`:
        min, max, mean and std of the posterior mean in each dimension, and `kl`, the mean
        KL(q(z_j|x) || p(z_j)) in nats, where that has a closed form. A sparse autoencoder has codes
        in place of posterior means.
    """
    means = TermMeans(
        model,
        objective,
        batch_size=batch_size,
        seed=seed,
        per_example=_measure_examples,
        transform=transform,
    )
    terms, z_mean = means(batches, step=0)
    latents = latent_statistics(z_mean)
    for unit, rate in zip(latents, terms.pop("unit_rates", []), strict=False):
        unit["kl"] = rate
    return {**terms, "active_units": active_units(z_mean), "latents": latents}


def _measure_examples(model: ConditionedModel, batch: Batch) -> dict[str, tf.Tensor]:
    quality = image_quality(batch.image, model.reconstruct(batch.encoder_input))
    rates = unit_rates(model, model.encode(batch.encoder_input))
    return quality if rates is None else {**quality, "unit_rates": rates}
