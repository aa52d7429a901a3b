"""The figures that a finished run leaves behind."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.figures import comparison_grid, image_grid, quantile_grid, write_png
from vae_lowlevel.evaluation.latent_plane import draw_latent_plane
from vae_lowlevel.types import Examples

PAIRS = 20
SAMPLES = 100
MANIFOLD_SIDE = 15
PLANE_BATCH = 500


def draw_run_figures(model: tf.Module, test: Examples, folder: str, seed: tf.Tensor) -> list[str]:
    """Draws `reconstructions.png` and `samples.png`; for D = 2 also `manifold.png`, `latent.png`.

    Args:
        model: a `VAE` with its final weights.
        test: the test split.
        folder: where to; made if missing.
        seed: int32 [2], of the samples.

    Returns:
        The files written.
    """
    os.makedirs(folder, exist_ok=True)
    images = test.image[:PAIRS].astype(np.float32) / 255.0
    pictures = {
        "reconstructions": comparison_grid(images, model.reconstruct(images).numpy(), columns=10),
        "samples": image_grid(model.sample(SAMPLES, seed).numpy(), columns=10),
    }
    if model.latent_dim == 2:
        manifold = model.decode(quantile_grid(MANIFOLD_SIDE)).mean().numpy()
        pictures["manifold"] = image_grid(manifold, columns=MANIFOLD_SIDE)
        pictures["latent"] = draw_latent_plane(_embed(model, test.image), test.label)
    paths = []
    for name, picture in pictures.items():
        paths.append(os.path.join(folder, f"{name}.png"))
        write_png(paths[-1], picture)
    return paths


def _embed(model: tf.Module, image: np.ndarray) -> np.ndarray:
    encode = tf.function(
        lambda batch: model.embed(tf.cast(batch, tf.float32) / 255.0), reduce_retracing=True
    )
    starts = range(0, len(image), PLANE_BATCH)
    return np.concatenate([encode(image[start : start + PLANE_BATCH]) for start in starts])
