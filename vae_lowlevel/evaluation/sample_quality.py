"""How good samples of a model are: the likelihood of codes, and a distance between images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.evaluation.latents import Pca, PcaFit
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.types import Examples, Model, to_unit

# Principal components of pixels that images are compared by. Fifty have most of the variance of
# 28 x 28 images, and their covariance is known well from some thousand images.
MOST_COMPONENTS = 50
# The test images themselves are rarely more.
MOST_IMAGES = 10_000

Density = Callable[[], tfp.distributions.Distribution]


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Computes the Frechet distance of the Gaussians fitted to two sets of features.

        |mean_a - mean_b|^2 + tr(S_a + S_b - 2 (S_a^1/2 S_b S_a^1/2)^1/2)

    Args:
        a: float [N, F].
        b: float [M, F].

    References:
        Dowson, Landau, "The Frechet distance between multivariate normal distributions", 1982.
        Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash
        Equilibrium", 2017, eq. 6 (with features of a classifier).
    """
    mean = a.mean(0) - b.mean(0)
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    root = _square_root(covariance_a)
    mixed = _square_root(root @ covariance_b @ root)
    return float(mean @ mean + np.trace(covariance_a + covariance_b - 2.0 * mixed))


def _square_root(matrix: np.ndarray) -> np.ndarray:
    """Returns the symmetric root of a symmetric matrix; rounding below 0 counts as 0."""
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


class SampleQuality:
    """Compares densities over latent codes by the samples they lead to.

    Images are compared by the Frechet distance of their first 50 principal components of pixels,
    fitted on training images. It is no FID: its features are those of the images' variance, not of
    a classifier. Samples are mean images of p(x|z).

    Args:
        model: a model with a prior, float32.
        train: images on which the components are fitted.
        test: images with which samples are compared.
        test_codes: a draw from q(z|x) of each test image, float32 [N, D].
        batch_size: samples that are decoded at once.
        seed: of the samples.
    """

    def __init__(
        self,
        model: Model,
        train: Examples,
        test: Examples,
        test_codes: np.ndarray,
        *,
        batch_size: int,
        seed: int,
    ) -> None:
        self._model = model
        self._pca = _fit_components(train.image)
        self._test_features = _features(self._pca, test.image[:MOST_IMAGES])
        self._test_codes = test_codes
        self._test_label = test.label[:MOST_IMAGES]
        self._batch_size = batch_size
        self._seed = fold(make_seed(seed), "sample quality")

    def __call__(self, density: Density) -> dict[str, Any]:
        """Returns what is measured for a density over codes.

        Args:
            density: called, it returns a distribution over float32 [D].

        Returns:
            `code_nll`, the mean of -log density of the test codes, nats per code, and
            `frechet_distance` of as many samples as there are test images, at most 10,000. Samples
            of a conditional model have the labels of the test images.
        """
        features = _features(self._pca, self._sample(density))
        return {
            "code_nll": -self._mean_log_prob(density),
            "frechet_distance": frechet_distance(features, self._test_features),
        }

    def _mean_log_prob(self, density: Density) -> float:
        log_prob = tf.function(lambda z: density().log_prob(z), autograph=False)
        parts = np.array_split(self._test_codes, -(-len(self._test_codes) // self._batch_size))
        values = np.concatenate([log_prob(tf.constant(part)).numpy() for part in parts])
        return float(values.mean(dtype=np.float64))

    def _sample(self, density: Density) -> np.ndarray:
        """Returns float32 [N, H, W, C] in [0, 1]."""

        @tf.function(autograph=False)
        def draw(label: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
            z = density().sample(self._batch_size, seed=fold(self._seed, number))
            return self._model.conditioned_on(label).decode(z).mean()

        count, parts = len(self._test_label), []
        for number, first in enumerate(range(0, count, self._batch_size)):
            rows = np.arange(first, first + self._batch_size) % count
            parts.append(draw(self._test_label[rows], tf.constant(number)).numpy())
        return np.concatenate(parts)[:count]


def _fit_components(images: np.ndarray) -> Pca:
    values = int(np.prod(images.shape[1:]))
    fit = PcaFit(values)
    for part in np.array_split(images, -(-len(images) // 1000)):
        fit.add(to_unit(part).numpy().reshape(-1, values))
    return fit.solve(min(MOST_COMPONENTS, values))


def _features(pca: Pca, images: np.ndarray) -> np.ndarray:
    """Returns the scores of uint8 or float [N, H, W, C] images, float64 [N, F]."""
    unit = to_unit(images).numpy() if images.dtype == np.uint8 else images
    return (unit.reshape(len(images), -1) - pca.mean) @ pca.components.T
