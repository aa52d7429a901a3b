"""The figures that a finished run leaves behind."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.plots.grids import comparison_grid, image_grid, quantile_grid, write_png
from vae_lowlevel.plots.latent_plane import draw_latent_plane
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.types import Examples, to_unit

PAIRS = 20
SAMPLES = 100
MANIFOLD_SIDE = 15
MANIFOLD_DRAWS = 10000
PLANE_BATCH = 500


def draw_run_figures(model: tf.Module, test: Examples, folder: str, seed: tf.Tensor) -> list[str]:
    """Draws what the model can show.

    `reconstructions.png`; `samples.png` of a VAE, of a conditional one a column a class;
    `units.png` of a sparse autoencoder: each unit of the code alone, as active as it gets on the
    images of `reconstructions.png`. For D = 2 `latent.png`, and of a VAE without labels
    `manifold.png`, the plane at quantiles of the prior.

    Args:
        model: a model with its final weights.
        test: the test split.
        folder: where to; made if missing.
        seed: int32 [2], of the samples.

    Returns:
        The files written.
    """
    files.make_folder(folder)
    images = to_unit(test.image[:PAIRS]).numpy()
    bound = model.conditioned_on(test.label[:PAIRS])
    pictures = {
        "reconstructions": comparison_grid(images, bound.reconstruct(images).numpy(), columns=10)
    }
    has_prior, num_classes = hasattr(model, "sample"), getattr(model, "num_classes", 0)
    if has_prior:
        columns = num_classes or 10
        samples = model.sample(SAMPLES // 10 * columns, seed).numpy()
        pictures["samples"] = image_grid(samples, columns=columns)
    else:
        pictures["units"] = _draw_units(model, images)
    if model.latent_dim == 2:
        pictures["latent"] = draw_latent_plane(_embed(model, test), test.label)
    if model.latent_dim == 2 and has_prior and not num_classes:
        # A learned prior is where its draws are; of the standard one the quantiles are known.
        prior, draws = model.prior(), None
        if not model.prior.is_gaussian:
            draws = prior.sample(MANIFOLD_DRAWS, seed=fold(seed, "manifold")).numpy()
        manifold = model.decode(quantile_grid(MANIFOLD_SIDE, draws)).mean().numpy()
        pictures["manifold"] = image_grid(manifold, columns=MANIFOLD_SIDE)
    paths = []
    for name, picture in pictures.items():
        paths.append(os.path.join(folder, f"{name}.png"))
        write_png(paths[-1], picture)
    return paths


def draw_denoising(
    model: tf.Module,
    test: Examples,
    path: str,
    corruption: Callable[[tf.Tensor, BatchNoise], tf.Tensor],
) -> None:
    """Draws corrupted test images, each over its reconstruction.

    Args:
        model: a model with its final weights.
        test: the test split.
        path: of the PNG file; its folder is made if missing.
        corruption: (image, noise) -> corrupted image.
    """
    examples = test[:PAIRS]
    images = to_unit(examples.image)
    noise = BatchNoise(fold(make_seed(0), "figures"), 0, len(examples), len(examples))
    corrupted = corruption(images, noise)
    reconstruction = model.conditioned_on(examples.label).reconstruct(corrupted)
    files.make_folder(os.path.dirname(path))
    write_png(path, comparison_grid(corrupted.numpy(), reconstruction.numpy(), columns=10))


def _draw_units(model: tf.Module, images: np.ndarray) -> np.ndarray:
    largest = tf.reduce_max(model.embed(images), 0)
    alone = tf.linalg.diag(largest)[:SAMPLES]
    return image_grid(model.decode(alone).mean().numpy(), columns=10)


def _embed(model: tf.Module, test: Examples) -> np.ndarray:
    @functools.partial(tf.function, reduce_retracing=True)
    def encode(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        return model.conditioned_on(label).embed(to_unit(image))

    starts = range(0, len(test), PLANE_BATCH)
    chunks = [test[start : start + PLANE_BATCH] for start in starts]
    return np.concatenate([encode(chunk.image, chunk.label) for chunk in chunks])
