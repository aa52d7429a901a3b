"""What the latents of a model are good for: classes read from them, images compared with a PCA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.metrics import image_quality
from vae_lowlevel.evaluation.term_means import PaddedBatches
from vae_lowlevel.types import Model, stored_spec, to_unit

NEIGHBOURS = 10

# Of the logistic regression. With standardised features it needs some tens.
MOST_ITERATIONS = 1000

# Images of more values (64 x 64 x 3) have no PCA: its covariance of P x P values would take more
# than 1.2 GB, and its eigenvectors many minutes.
MOST_PCA_VALUES = 12_288


class Pca(NamedTuple):
    """A principal component analysis of images with P = H W C values.

    Attributes:
        mean: float64 [P].
        components: float64 [K, P], orthonormal rows, the one of the largest variance first.
    """

    mean: np.ndarray
    components: np.ndarray

    def reconstruct(self, image: tf.Tensor) -> tf.Tensor:
        """Projects float32 [B, H, W, C] onto the components; clipped to [0, 1]."""
        mean, components = tf.constant(self.mean), tf.constant(self.components)
        centred = tf.reshape(tf.cast(image, tf.float64), [-1, len(self.mean)]) - mean
        scores = tf.matmul(centred, components, transpose_b=True)
        projected = tf.cast(mean + tf.matmul(scores, components), tf.float32)
        return tf.clip_by_value(tf.reshape(projected, tf.shape(image)), 0.0, 1.0)


class PcaFit:
    """Fits a PCA to images that come in parts, by the eigenvectors of their covariance.

    Args:
        values: P, of an image.
    """

    def __init__(self, values: int) -> None:
        self._count = 0
        self._sum = np.zeros([values])
        self._products = np.zeros([values, values])

    def add(self, images: np.ndarray) -> None:
        """Adds float [B, P]."""
        images = images.astype(np.float64)
        self._count += len(images)
        self._sum += images.sum(0)
        self._products += images.T @ images

    def solve(self, components: int) -> Pca:
        """Returns the PCA of all images that were added, of at most P components."""
        mean = self._sum / self._count
        covariance = self._products / self._count - np.outer(mean, mean)
        _, vectors = np.linalg.eigh(covariance)  # In ascending order of variance.
        return Pca(mean, np.ascontiguousarray(vectors[:, ::-1].T[:components]))


def probe_accuracies(
    train: tuple[np.ndarray, np.ndarray], test: tuple[np.ndarray, np.ndarray]
) -> dict[str, float | None]:
    """Measures how well classes can be read from latents.

    Examples of unknown class are left out.

    Args:
        train: z, float [N, D], and its classes, int [N], -1 for an unknown one.
        test: as `train`.

    Returns:
        The part of the test examples whose class is found: `linear_probe_accuracy`, by a logistic
        regression on z with each dimension standardised; `knn_accuracy`, by the vote of the 10
        nearest training examples in Euclidean distance of z. None where fewer than two classes
        are known in `train`, or none in `test`.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    (z, label), (test_z, test_label) = ((z[y >= 0], y[y >= 0]) for z, y in (train, test))
    if len(np.unique(label)) < 2 or not len(test_label):
        return {"linear_probe_accuracy": None, "knn_accuracy": None}

    # An extra of the package, and only needed with labels.
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=MOST_ITERATIONS))
    neighbours = KNeighborsClassifier(min(NEIGHBOURS, len(z)))
    return {
        "linear_probe_accuracy": float(probe.fit(z, label).score(test_z, test_label)),
        "knn_accuracy": float(neighbours.fit(z, label).score(test_z, test_label)),
    }


def measure_latents(
    model: Model, train: PaddedBatches, test: PaddedBatches, *, batch_size: int
) -> dict[str, Any]:
    """Measures the representation of images, `model.embed`, and reconstructions from it.

    The probes see the representation for an unknown class: a conditional model would otherwise be
    told what they look for. Its encoder has met unknown classes only if its training data had
    some. Reconstructions are those for the known class.

    Args:
        model: a model in float32.
        train: padded batches, on which the probes and the PCA are fitted.
        test: padded batches, on which they are measured.
        batch_size: rows of every batch.

    Returns:
        `linear_probe_accuracy` and `knn_accuracy`, see `probe_accuracies`; `mse` per pixel, `psnr`
        in dB and `ssim` of reconstructions from the representation, means over images; `pca_mse`,
        `pca_psnr` and `pca_ssim`: the same of a PCA of as many components as there are latent
        dimensions, None for images of more than 12,288 values.
    """
    values = int(np.prod(model.image_shape))
    fit = PcaFit(values) if values <= MOST_PCA_VALUES else None
    embed = _on_batches(_embed_of_unknown_class, model, batch_size)
    train_z, train_label = [], []
    for examples, mask in train:
        real = mask > 0
        train_z.append(embed(examples.image, examples.label).numpy()[real])
        train_label.append(examples.label[real])
        if fit is not None:
            fit.add(to_unit(examples.image[real]).numpy().reshape(-1, values))
    pca = None if fit is None else fit.solve(model.latent_dim)

    def compare(model: Model, image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        quality = image_quality(image, model.conditioned_on(label).reconstruct(image))
        if pca is None:
            return quality
        linear = image_quality(image, pca.reconstruct(image))
        return {**quality, **{f"pca_{name}": value for name, value in linear.items()}}

    compare_batch = _on_batches(compare, model, batch_size)
    quality: dict[str, list[np.ndarray]] = {}
    test_z, test_label = [], []
    for examples, mask in test:
        real = mask > 0
        test_z.append(embed(examples.image, examples.label).numpy()[real])
        test_label.append(examples.label[real])
        for name, value in compare_batch(examples.image, examples.label).items():
            quality.setdefault(name, []).append(value.numpy()[real])
    accuracies = probe_accuracies(
        (np.concatenate(train_z), np.concatenate(train_label)),
        (np.concatenate(test_z), np.concatenate(test_label)),
    )
    means = {
        name: float(np.concatenate(parts).mean(dtype=np.float64)) for name, parts in quality.items()
    }
    missing = {} if pca is not None else dict.fromkeys(("pca_mse", "pca_psnr", "pca_ssim"))
    return {**accuracies, **means, **missing}


def _embed_of_unknown_class(model: Model, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
    return model.conditioned_on(-tf.ones_like(label)).embed(image)


def _on_batches(
    compute: Callable[[Model, tf.Tensor, tf.Tensor], Any], model: Model, batch_size: int
) -> Callable[[np.ndarray, np.ndarray], Any]:
    """Compiles a function of (model, image in [0, 1], label) for the images as they are stored."""
    return tf.function(
        lambda image, label: compute(model, to_unit(image), label),
        input_signature=[
            stored_spec(batch_size, model.image_shape),
            tf.TensorSpec([batch_size], tf.int32),
        ],
        autograph=False,
    )
