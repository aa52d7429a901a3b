"""A trained model on NumPy arrays of any length, from a run or from an export."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import first_line
from vae_lowlevel.serving.array_checks import Labels, check_labels, check_latents, unit_images
from vae_lowlevel.serving.encodings import Code, Encoding, Scores
from vae_lowlevel.serving.latent_paths import interpolate_latents
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import is_vector_shape

# Rows per call of a signature.
CHUNK = 64

NO_SAMPLES = "a sparse autoencoder cannot be sampled: it has no prior over its codes"

# Tensors by name -> tensors by name.
Signature = Callable[..., dict[str, tf.Tensor]]


class Predictor:
    """Encodes, decodes, reconstructs, scores, samples and interpolates.

    Made by `from_model` or `from_saved_model`. Rows are computed in chunks of `CHUNK`, the last one
    padded with zeros, so a row's result does not depend on how many rows there are. Images are
    passed as uint8 in [0, 255] or float in [0, 1], [N, H, W, C], or [N, H, W] when C is 1; another
    shape, dtype or range is a ValueError. Images are returned as float32 in [0, 1]. A model of
    vectors, image_shape (1, D, 1), receives and returns [N, D].

    `label` is for conditional models, which require it: the class of each row, integers [N], or one
    for all rows; -1 for an unknown class.

    Args:
        signatures: the model's signatures, by name; see `ServingModel`.
        image_shape: (H, W, C).
        latent_dim: D.
        is_conditional: whether every signature has the input `label`.

    Attributes:
        image_shape: (H, W, C).
        latent_dim: D.
        is_conditional: whether the model takes labels.
        can_sample: whether there is a prior to draw from; a sparse autoencoder has none.
    """

    def __init__(
        self,
        signatures: Mapping[str, Signature],
        image_shape: tuple[int, int, int],
        latent_dim: int,
        *,
        is_conditional: bool,
    ) -> None:
        self._signatures = signatures
        self.image_shape = image_shape
        self.latent_dim = latent_dim
        self.is_conditional = is_conditional
        self.can_sample = "sample" in signatures

    @classmethod
    def from_model(cls, serving_model: ServingModel) -> Predictor:
        """Returns a predictor with the signatures of a model in this process."""
        model = serving_model.model
        return cls(
            serving_model.signatures,
            model.image_shape,
            model.latent_dim,
            is_conditional=model.num_classes > 0,
        )

    @classmethod
    def from_saved_model(cls, loaded: Any) -> Predictor:
        """Returns a predictor with the signatures of an export.

        Args:
            loaded: what `tf.saved_model.load` returned.

        Raises:
            ValueError: it lacks signatures that every export has, or their inputs.
        """
        signatures = getattr(loaded, "signatures", {})
        wanted = {"encode", "decode", "reconstruct"}
        if "encode" not in signatures or "code" not in signatures["encode"].structured_outputs:
            wanted.add("sample")
        missing = wanted.difference(signatures)
        if missing:
            raise ValueError(f"it lacks the signatures {', '.join(sorted(missing))}")
        _, encoded = signatures["encode"].structured_input_signature
        _, decoded = signatures["decode"].structured_input_signature
        for inputs, key, rank in ((encoded, "image", 4), (decoded, "z", 2)):
            if key not in inputs or inputs[key].shape.rank != rank:
                raise ValueError(f"it lacks the input {key} of rank {rank}")
        return cls(
            signatures,
            tuple(encoded["image"].shape[1:]),
            decoded["z"].shape[1],
            is_conditional="label" in decoded,
        )

    def __call__(self, image: np.ndarray, label: Labels = None) -> dict[str, np.ndarray]:
        """Returns what `predict` returns."""
        return self.predict(image, label)

    def predict(self, image: np.ndarray, label: Labels = None) -> dict[str, np.ndarray]:
        """Encodes and decodes images.

        Returns:
            `reconstruction` [N, H, W, C], decoded from `z` [N, D], the z that represents each
            image; and what `encode` returns by name, such as `z_mean` and `z_log_var`.
        """
        encoding = self.encode(image, label)
        z = encoding.embedding
        return {"reconstruction": self.decode(z, label), **encoding.to_dict(), "z": z}

    def encode(self, image: np.ndarray, label: Labels = None) -> Encoding | Code:
        """Returns the posterior of each image, or its code in a sparse autoencoder."""
        encoded = self._call("encode", label, image=unit_images(image, self.image_shape))
        return Code(**encoded) if "code" in encoded else Encoding(**encoded)

    def decode(self, z: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns the mean image of p(x|z), [N, H, W, C], for finite floats z [N, D]."""
        return self._call("decode", label, z=check_latents(z, self.latent_dim))["image"]

    def reconstruct(self, image: np.ndarray, label: Labels = None) -> np.ndarray:
        """Returns the image decoded from each image's `embedding`, [N, H, W, C]."""
        return self._call("reconstruct", label, image=unit_images(image, self.image_shape))["image"]

    def score(self, image: np.ndarray, label: Labels = None) -> Scores:
        """Returns how well the model describes each image."""
        return Scores(**self._call("score", label, image=unit_images(image, self.image_shape)))

    def sample(
        self,
        count: int,
        seed: int | None = None,
        label: Labels = None,
        *,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Returns mean images of draws from the prior, [count, H, W, C].

        Image i is drawn with the seed 2^32 seed + i of the signature `sample`, so it is the same
        for every `count`.

        Args:
            count: number of images, at least 0.
            seed: in [0, 2^31); None for other images at each call.
            label: the class to draw, or [count] of them.
            temperature: factor of the prior's scale, at least 0: below 1, more typical images.

        Raises:
            ValueError: an argument is wrong, or the model cannot be sampled.
        """
        return self._sample(count, seed, label, temperature)["image"]

    def sample_latents(
        self,
        count: int,
        seed: int | None = None,
        label: Labels = None,
        *,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Returns the draws of z, [count, D], whose images `sample` returns for the same seed."""
        return self._sample(count, seed, label, temperature)["z"]

    def _sample(
        self, count: int, seed: int | None, label: Labels, temperature: float
    ) -> dict[str, np.ndarray]:
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        if seed is None:
            seed = int(np.random.default_rng().integers(2**31))
        if not 0 <= seed < 2**31:
            raise ValueError(f"seed must be in [0, 2**31), got {seed}")
        if not 0.0 <= temperature < math.inf:
            raise ValueError(f"temperature must be finite and at least 0, got {temperature}")
        seeds = (np.int64(seed) << 32) + np.arange(count, dtype=np.int64)
        if temperature == 1.0:
            return self._call("sample", label, seed=seeds)
        scales = np.full([count], temperature, np.float32)
        return self._call("sample_with_temperature", label, seed=seeds, temperature=scales)

    def interpolate(
        self,
        image_a: np.ndarray,
        image_b: np.ndarray,
        steps: int,
        label: Labels = None,
        *,
        path: str = "linear",
    ) -> np.ndarray:
        """Decodes points on a path between the embeddings of pairs of images.

        Args:
            image_a: N images, the first of each pair.
            image_b: N images, the second.
            steps: points on the path, both ends included, at least 2.
            label: the class of each pair, of both its images.
            path: "linear" or "spherical"; see `interpolate_latents`.

        Returns:
            float32 [N, steps, H, W, C].
        """
        start, end = self.encode(image_a, label).embedding, self.encode(image_b, label).embedding
        if len(start) != len(end):
            raise ValueError(
                f"image_a and image_b must have equal lengths, got {len(start)} and {len(end)}"
            )
        z = interpolate_latents(start, end, steps, path)
        return self.decode_paths(z, label)

    def decode_paths(self, z: np.ndarray, label: Labels = None) -> np.ndarray:
        """Decodes N paths of T latents each, float [N, T, D], to [N, T, H, W, C].

        `label` is the class of each path, or one for all.
        """
        count, steps, _ = z.shape
        if label is not None and np.ndim(label):
            label = np.repeat(label, steps)
        image = self.decode(z.reshape(-1, self.latent_dim), label)
        return image.reshape(count, steps, *image.shape[1:])

    def _call(self, name: str, label: Labels, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        count = len(next(iter(inputs.values())))
        if name not in self._signatures:
            raise ValueError(NO_SAMPLES)
        label = check_labels(label, count, is_conditional=self.is_conditional)
        if label is not None:
            inputs["label"] = label
        chunks: dict[str, list[np.ndarray]] = {}
        # At least once: an empty array has empty outputs of the right shape.
        for first in range(0, max(count, 1), CHUNK):
            tensors = {key: _pad_chunk(array[first:]) for key, array in inputs.items()}
            try:
                outputs = self._signatures[name](**tensors)
            except tf.errors.InvalidArgumentError as error:
                # Only labels can still be refused here, because the graph alone knows the classes,
                # and latents too large for the network.
                raise ValueError(first_line(error)) from None
            for key, value in outputs.items():
                chunks.setdefault(key, []).append(value.numpy()[: count - first])
        results = {key: np.concatenate(parts) for key, parts in chunks.items()}
        if "image" in results and is_vector_shape(self.image_shape):
            results["image"] = results["image"].reshape(-1, self.image_shape[1])
        return results


def _pad_chunk(rows: np.ndarray) -> tf.Tensor:
    """Returns the first `CHUNK` rows, padded with rows of zeros if there are fewer."""
    padded = np.zeros([CHUNK, *rows.shape[1:]], rows.dtype)
    padded[: len(rows)] = rows[:CHUNK]
    return tf.constant(padded)
