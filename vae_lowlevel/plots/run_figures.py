"""The figures that a finished run leaves behind."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.plots.grids import comparison_grid, image_grid, quantile_grid
from vae_lowlevel.plots.latent_plane import draw_latent_plane
from vae_lowlevel.plots.png import encode_png, render_png
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.types import Batch, Examples, Model, Transform, to_unit

PAIRS = 20
SAMPLES = 100
MANIFOLD_SIDE = 15
MANIFOLD_DRAWS = 10000
PLANE_BATCH = 500


def draw_run_figures(
    model: Model, test: Examples, class_names: Sequence[str], folder: str, seed: tf.Tensor
) -> list[str]:
    """Draws what the model can show.

    `reconstructions.png`; `samples.png` for a VAE, a column per class for a conditional one;
    `units.png` for a sparse autoencoder: each unit of the code alone, as active as it gets on the
    images of `reconstructions.png`. For D = 2 `latent.png`, and for a VAE without labels
    `manifold.png`, the plane at quantiles of the prior.

    Args:
        model: a model with its final weights.
        test: the test split.
        class_names: one name per class of `test.label`.
        folder: made if missing.
        seed: int32 [2], of the samples.

    Returns:
        The files written.
    """
    images = to_unit(test.image[:PAIRS])
    conditioned = model.conditioned_on(test.label[:PAIRS])
    reconstructions = conditioned.reconstruct(images).numpy()
    pictures = {
        "reconstructions": encode_png(comparison_grid(images.numpy(), reconstructions, columns=10))
    }
    if model.has_prior:
        columns = model.num_classes or 10
        samples = model.sample(SAMPLES // 10 * columns, seed).numpy()
        pictures["samples"] = encode_png(image_grid(samples, columns=columns))
    else:
        pictures["units"] = encode_png(_draw_units(model, images))
    if model.latent_dim == 2:
        plane = draw_latent_plane(_embed(model, test), test.label, class_names)
        pictures["latent"] = render_png(plane)
    if model.latent_dim == 2 and model.has_prior and not model.num_classes:
        pictures["manifold"] = encode_png(_draw_manifold(model, seed))
    files.make_folder(folder)
    paths = []
    for name, content in pictures.items():
        paths.append(os.path.join(folder, f"{name}.png"))
        files.write(paths[-1], content)
    return paths


def draw_denoising(model: Model, test: Examples, path: str, transform: Transform) -> None:
    """Draws corrupted test images, each above its reconstruction.

    Args:
        model: a model with its final weights.
        test: the test split.
        path: of the PNG file; its folder is made if missing.
        transform: (batch, noise) -> batch, the corruption.
    """
    examples = test[:PAIRS]
    noise = BatchNoise(fold(make_seed(0), "figures"), 0, len(examples), len(examples))
    batch = transform(Batch(to_unit(examples.image), examples.label), noise)
    reconstruction = model.conditioned_on(batch.label).reconstruct(batch.encoder_input)
    grid = comparison_grid(batch.encoder_input.numpy(), reconstruction.numpy(), columns=10)
    files.make_folder(os.path.dirname(path))
    files.write(path, encode_png(grid))


def _draw_units(model: Model, images: tf.Tensor) -> np.ndarray:
    largest = tf.reduce_max(model.embed(images), 0)
    alone = tf.linalg.diag(largest)[:SAMPLES]
    return image_grid(model.decode(alone).mean().numpy(), columns=10)


def _draw_manifold(model: Model, seed: tf.Tensor) -> np.ndarray:
    """Decodes the plane at the quantiles of the prior: known ones of N(0, I), else of draws."""
    draws = None
    if not model.prior.is_gaussian:
        draws = model.prior().sample(MANIFOLD_DRAWS, seed=fold(seed, "manifold")).numpy()
    manifold = model.decode(quantile_grid(MANIFOLD_SIDE, draws)).mean().numpy()
    return image_grid(manifold, columns=MANIFOLD_SIDE)


def _embed(model: Model, test: Examples) -> np.ndarray:
    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def encode(image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        return model.conditioned_on(label).embed(to_unit(image))

    starts = range(0, len(test), PLANE_BATCH)
    chunks = [test[start : start + PLANE_BATCH] for start in starts]
    return np.concatenate([encode(chunk.image, chunk.label) for chunk in chunks])
