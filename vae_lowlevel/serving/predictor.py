"""The signatures on NumPy arrays of any length."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.types import to_unit

CHUNK = 64

NO_SAMPLES = "a sparse autoencoder cannot be sampled: it has no prior over its codes"

Labels = int | np.ndarray | None


class Encoding(NamedTuple):
    """The posterior q(z|x) of N images; what its kind does not have is None.

    Diagonal: N(z_mean, diag(exp(z_log_var))). Full: N(z_mean, L L^T) with L = z_scale_tril. Flow:
    z_mean and z_log_var are those of its base, z is what the flow makes of z_mean.

    Attributes:
        z_mean: float32 [N, D].
        z_log_var: float32 [N, D].
        z_scale_tril: float32 [N, D, D].
        z: float32 [N, D].
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray | None = None
    z_scale_tril: np.ndarray | None = None
    z: np.ndarray | None = None

    @property
    def embedding(self) -> np.ndarray:
        """The z that stands for each image, from which it is reconstructed, float32 [N, D]."""
        return self.z_mean if self.z is None else self.z

    def to_dict(self) -> dict[str, np.ndarray]:
        """Returns the arrays there are, by name."""
        return {name: array for name, array in self._asdict().items() if array is not None}


class Scores(NamedTuple):
    """How well a model knows N images, as the signature `score` says it.

    Attributes:
        distortion: float32 [N], -log p(x|z), nats.
        anomaly_score: float32 [N], the higher, the less the image is like the training images.
        is_anomaly: bool [N], whether it exceeds the threshold of the export; of a run, which has
            none, never.
        rate: float32 [N], KL(q(z|x) || p(z)), nats; None where there is no prior.
        elbo: float32 [N], -(distortion + rate), nats; None where there is no prior.
    """

    distortion: np.ndarray
    anomaly_score: np.ndarray
    is_anomaly: np.ndarray
    rate: np.ndarray | None = None
    elbo: np.ndarray | None = None


class Code(NamedTuple):
    """The code of N images in a sparse autoencoder.

    Attributes:
        code: float32 [N, D].
    """

    code: np.ndarray

    @property
    def embedding(self) -> np.ndarray:
        """What each image is reconstructed from, float32 [N, D]."""
        return self.code

    def to_dict(self) -> dict[str, np.ndarray]:
        """Returns the code, by its name."""
        return self._asdict()


class Predictor:
    """A trained model on NumPy arrays.

    Rows are worked through in chunks of `CHUNK`, the last one filled up with zeros, so that a
    row's result does not depend on how many there are. Images are given as uint8 in [0, 255] or
    float in [0, 1], [N, H, W, C], or [N, H, W] when C is 1; wrong shapes, dtypes and ranges are a
    ValueError. Images returned are float32 in [0, 1].

    `label` is for conditional models, which need it: the class of each row, integers [N], or one
    for all; -1 where it is not known.

    Args:
        model: a `ServingModel`, or what `tf.saved_model.load` makes of its export.
        image_shape: (H, W, C).
        latent_dim: D.

    Attributes:
        image_shape: (H, W, C).
        latent_dim: D.
        is_conditional: whether the model takes labels.
        can_sample: whether there is a prior to draw from; a sparse autoencoder has none.
    """

    def __init__(self, model: Any, image_shape: tuple[int, int, int], latent_dim: int) -> None:
        self._model = model
        self.image_shape = image_shape
        self.latent_dim = latent_dim
        self.is_conditional = "label" in _input_names(model.signatures["decode"])
        self.can_sample = "sample" in model.signatures

    def encode(self, image: np.ndarray, label: Labels = None) -> Encoding | Code:
        """Returns the posterior, or of a sparse autoencoder the code, of each image."""
        image = unit_images(image, self.image_shape)
        encoded = self._call("encode", image=image, **self._labels(label, len(image)))
        return Code(**encoded) if "code" in encoded else Encoding(**encoded)

    def decode(self, z: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns the mean image of p(x|z), [N, H, W, C], for finite floats z [N, D]."""
        z = self._latents(z)
        return self._call("decode", z=z, **self._labels(label, len(z)))["image"]

    def reconstruct(self, image: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns each image decoded from the z or code that stands for it, [N, H, W, C]."""
        image = unit_images(image, self.image_shape)
        return self._call("reconstruct", image=image, **self._labels(label, len(image)))["image"]

    def score(self, image: np.ndarray, label: Labels = None) -> Scores:
        """Returns how well the model knows each image."""
        image = unit_images(image, self.image_shape)
        return Scores(**self._call("score", image=image, **self._labels(label, len(image))))

    def sample(self, count: int, seed: int = 0, label: Labels = None) -> np.ndarray:
        """Returns mean images of draws from the prior, [count, H, W, C].

        Image i is drawn with the seed 2^32 seed + i of the signature `sample`, so it is the same
        whatever `count` is.

        Args:
            count: how many, at least 0.
            seed: in [0, 2^31).
            label: the class to draw, or [count] of them.

        Raises:
            ValueError: an argument is wrong, or the model cannot be sampled.
        """
        if not self.can_sample:
            raise ValueError(NO_SAMPLES)
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed must be in [0, 2**31), got {seed}")
        seeds = (np.int64(seed) << 32) + np.arange(count, dtype=np.int64)
        return self._call("sample", seed=seeds, **self._labels(label, count))["image"]

    def interpolate(
        self, image_a: np.ndarray, image_b: np.ndarray, steps: int, label: Labels = None
    ) -> np.ndarray:
        """Decodes points on the straight line between the posterior means of pairs of images.

        Args:
            image_a: N images, the first of each pair.
            image_b: N images, the second.
            steps: points on the line, both ends included, at least 2.
            label: the class of each pair, of both its images.

        Returns:
            float32 [N, steps, H, W, C].
        """
        if steps < 2:
            raise ValueError(f"steps must be at least 2, got {steps}")
        start, end = self.encode(image_a, label).embedding, self.encode(image_b, label).embedding
        if len(start) != len(end):
            raise ValueError(
                f"image_a and image_b must be of one length, got {len(start)} and {len(end)}"
            )
        weight = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
        z = (1.0 - weight) * start[:, None] + weight * end[:, None]
        if label is not None and np.ndim(label):
            label = np.repeat(label, steps)
        image = self.decode(z.reshape(-1, self.latent_dim), label)
        return image.reshape(len(start), steps, *self.image_shape)

    def _labels(self, label: Labels, count: int) -> dict[str, np.ndarray]:
        """Returns the labels as an input of a signature; none for a model that takes none."""
        if not self.is_conditional:
            if label is not None:
                raise ValueError("this model is not conditional: it takes no label")
            return {}
        if label is None:
            raise ValueError("this model is conditional: it needs a label (-1: unknown)")
        label = np.asarray(label)
        if not np.issubdtype(label.dtype, np.integer) or label.shape not in ((), (count,)):
            raise ValueError(
                f"label must be an integer or integers [{count}], got {label.dtype} "
                f"{list(label.shape)}"
            )
        return {"label": np.broadcast_to(label, [count]).astype(np.int32)}

    def _call(self, signature: str, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        count = len(next(iter(inputs.values())))
        function = self._model.signatures[signature]
        chunks: dict[str, list[np.ndarray]] = {}
        # Once at least: an empty array has empty outputs of the right shape.
        for first in range(0, max(count, 1), CHUNK):
            tensors = {name: _filled(array[first:]) for name, array in inputs.items()}
            for output, value in self._answer(function, tensors).items():
                chunks.setdefault(output, []).append(value.numpy()[: count - first])
        return {output: np.concatenate(parts) for output, parts in chunks.items()}

    def _answer(
        self, function: Callable[..., Any], tensors: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        try:
            return function(**tensors)
        except tf.errors.InvalidArgumentError as error:
            # Only a label is left for the graph to refuse: an export alone knows its classes.
            raise ValueError(error.message) from None

    def _latents(self, z: np.ndarray) -> np.ndarray:
        z = np.asarray(z)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z must have shape [N, {self.latent_dim}], got {list(z.shape)}")
        if not np.issubdtype(z.dtype, np.floating):
            raise ValueError(f"z must be of floats, got {z.dtype}")
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused
            z = z.astype(np.float32)
        if not np.isfinite(z).all():
            raise ValueError("z must be finite in float32, got NaN or infinity")
        return z


def _input_names(signature: Any) -> set[str]:
    """Returns the names of the inputs of a `tf.function`, or of a signature that was loaded."""
    if hasattr(signature, "input_signature"):
        return {spec.name for spec in signature.input_signature}
    return set(signature.structured_input_signature[1])


def _filled(rows: np.ndarray) -> tf.Tensor:
    """Returns the first `CHUNK` rows, filled up with zeros if there are fewer."""
    filled = np.zeros([CHUNK, *rows.shape[1:]], rows.dtype)
    filled[: len(rows)] = rows[:CHUNK]
    return tf.constant(filled)


def unit_images(image: np.ndarray, image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns images as a model sees them.

    Args:
        image: uint8 in [0, 255] or float in [0, 1]; [N, H, W, C], or [N, H, W] when C is 1.
        image_shape: (H, W, C).

    Returns:
        float32 [N, H, W, C] in [0, 1].

    Raises:
        ValueError: shape, dtype or range is another.
    """
    image = np.asarray(image)
    shapes = [image_shape, image_shape[:2]] if image_shape[2] == 1 else [image_shape]
    if image.shape[1:] not in shapes:
        allowed = " or ".join(f"[{', '.join(['N', *map(str, shape)])}]" for shape in shapes)
        raise ValueError(f"images must have shape {allowed}, got {list(image.shape)}")
    image = image.reshape(-1, *image_shape)
    if image.dtype == np.uint8:
        return to_unit(image).numpy()
    if not np.issubdtype(image.dtype, np.floating):
        raise ValueError(f"images must be uint8 in [0, 255] or floats in [0, 1], got {image.dtype}")
    if not np.all((image >= 0.0) & (image <= 1.0)):
        raise ValueError(
            "floating-point images must be in [0, 1] (divide 8-bit pixels by 255), got values "
            f"from {image.min()} to {image.max()}"
        )
    return image.astype(np.float32)
