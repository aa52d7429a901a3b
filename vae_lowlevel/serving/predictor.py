"""A trained model on NumPy arrays of any length, from a run or from an export."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import first_line
from vae_lowlevel.serving.array_checks import Labels, check_labels, check_latents, unit_images
from vae_lowlevel.serving.encodings import Code, Encoding, Scores
from vae_lowlevel.serving.signatures import ServingModel

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
    shape, dtype or range is a ValueError. Images are returned as float32 in [0, 1].

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

    def sample(self, count: int, seed: int = 0, label: Labels = None) -> np.ndarray:
        """Returns mean images of draws from the prior, [count, H, W, C].

        Image i is drawn with the seed 2^32 seed + i of the signature `sample`, so it is the same
        for every `count`.

        Args:
            count: number of images, at least 0.
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
        return self._call("sample", label, seed=seeds)["image"]

    def interpolate(
        self, image_a: np.ndarray, image_b: np.ndarray, steps: int, label: Labels = None
    ) -> np.ndarray:
        """Decodes points on the straight line between the embeddings of pairs of images.

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
                f"image_a and image_b must have equal lengths, got {len(start)} and {len(end)}"
            )
        weight = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None]
        z = (1.0 - weight) * start[:, None] + weight * end[:, None]
        if label is not None and np.ndim(label):
            label = np.repeat(label, steps)
        image = self.decode(z.reshape(-1, self.latent_dim), label)
        return image.reshape(len(start), steps, *self.image_shape)

    def _call(self, name: str, label: Labels, **inputs: np.ndarray) -> dict[str, np.ndarray]:
        count = len(next(iter(inputs.values())))
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
        return {key: np.concatenate(parts) for key, parts in chunks.items()}


def _pad_chunk(rows: np.ndarray) -> tf.Tensor:
    """Returns the first `CHUNK` rows, padded with rows of zeros if there are fewer."""
    padded = np.zeros([CHUNK, *rows.shape[1:]], rows.dtype)
    padded[: len(rows)] = rows[:CHUNK]
    return tf.constant(padded)
