"""What figures are drawn of: a trained model with its data and history."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.config import Config
from vae_lowlevel.config.visualize import VisualizeOptions
from vae_lowlevel.evaluation.metrics import ACTIVE_VARIANCE
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.plots.traversals import Units
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.types import Dataset, Examples, Model, to_unit

# Rows that the model computes at once.
ROWS = 500
# Draws of a prior whose moments and quantiles have no closed form.
PRIOR_DRAWS = 10_000
UNKNOWN = -1


@dataclasses.dataclass(frozen=True)
class Latents:
    """Latents of N images.

    Attributes:
        z: float32 [N, D], the one z that represents each image.
        kl: float32 [N, D], KL(q(z_j|x) || p(z_j)) in nats; None where it has no closed form.
    """

    z: np.ndarray
    kl: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes:
        config: of the run, for one device.
        folder: of the run.
        dataset: of the run.
        model: with the best weights, float32.
        history: one record per epoch; empty if the run is not finished.
        best_epoch: the epoch of the weights.
        options: of the figures.
        corruption: name and strength of what is done to images before the encoder sees them.
    """

    config: Config
    folder: RunFolder
    dataset: Dataset
    model: Model
    history: Sequence[Mapping[str, Any]]
    best_epoch: int
    options: VisualizeOptions
    corruption: tuple[str, float] = ("none", 0.0)

    @property
    def seed(self) -> tf.Tensor:
        """Of all draws, int32 [2]."""
        given = self.options.seed
        return fold(make_seed(self.config.training.seed if given is None else given), "figures")

    @functools.cached_property
    def test(self) -> Examples:
        """The test images of which latents, activities and scores are drawn."""
        return self.dataset.test[: self.options.examples]

    @functools.cached_property
    def latents(self) -> Latents:
        """Of `test`, given their classes."""
        return self.encode(to_unit(self.test.image).numpy(), self.test.label)

    @functools.cached_property
    def units(self) -> Units:
        """How much each latent unit is used for `test`."""
        variance = self.latents.z.var(axis=0, dtype=np.float64)
        kl = self.latents.kl
        activity = variance if kl is None else kl.mean(axis=0, dtype=np.float64)
        return Units(activity, kl is not None, variance > ACTIVE_VARIANCE, ACTIVE_VARIANCE)

    @functools.cached_property
    def prior_draws(self) -> np.ndarray | None:
        """Draws of a learned prior, float32 [M, D]; None for N(0, I), whose moments are known."""
        if not self.model.has_prior or self.model.prior.is_gaussian:
            return None
        return self.model.prior().sample(PRIOR_DRAWS, seed=fold(self.seed, "prior")).numpy()

    def encode(self, image: np.ndarray, label: np.ndarray) -> Latents:
        """Encodes images float32 [N, H, W, C] in [0, 1] with labels int32 [N]."""
        parts = _in_batches(self._encode, image, label)
        return Latents(parts["z"], parts.get("kl"))

    def decode(self, z: np.ndarray, label: np.ndarray | int = UNKNOWN) -> np.ndarray:
        """Returns mean images, float32 [..., H, W, C].

        Args:
            z: float32 [..., D].
            label: int32, of a shape that expands to that of `z` without D, such as one for all.
        """
        label = np.broadcast_to(np.asarray(label, np.int32), z.shape[:-1]).ravel()
        parts = _in_batches(self._decode, z.reshape(-1, z.shape[-1]), label)
        return parts["image"].reshape(*z.shape[:-1], *self.model.image_shape)

    def reconstruct(self, image: np.ndarray, label: np.ndarray) -> np.ndarray:
        """Returns the mean image at the z of each image, float32 [N, H, W, C]."""
        return self.decode(self.encode(image, label).z, label)

    def class_names_of(self, label: np.ndarray) -> list[str]:
        """Returns the names of classes int [N]; nothing for data without classes."""
        names = self.dataset.class_names
        return [names[number] if number >= 0 else "unknown" for number in label] if names else []

    @functools.cached_property
    def _encode(self) -> Callable[..., dict[str, tf.Tensor]]:
        def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            model = self.model.conditioned_on(label)
            if not model.has_prior:
                return {"z": model.embed(image)}
            posterior = model.encode(image)
            latents = {"z": model.posterior.embedding(posterior)}
            if model.has_closed_form_kl:
                latents["kl"] = model.kl_per_dimension(posterior)
            return latents

        return self._compile(encode, self.model.image_shape)

    @functools.cached_property
    def _decode(self) -> Callable[..., dict[str, tf.Tensor]]:
        def decode(z: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"image": self.model.conditioned_on(label).decode(z).mean()}

        return self._compile(decode, [self.model.latent_dim])

    def _compile(self, function: Callable[..., Any], shape: Sequence[int]) -> Callable[..., Any]:
        specs = [tf.TensorSpec([None, *shape], tf.float32), tf.TensorSpec([None], tf.int32)]
        compiled = tf.function(function, input_signature=specs, autograph=False)
        # Traced here and not by its first call, which may be its only one: TensorFlow counts the
        # calls of all scenes together and would warn of retracing after the fifth of a process.
        compiled.get_concrete_function()
        return compiled


def _in_batches(
    function: Callable[..., dict[str, tf.Tensor]], values: np.ndarray, label: np.ndarray
) -> dict[str, np.ndarray]:
    """Computes [N, ...] by name of rows [N, ...] and labels [N], N at least 1."""
    parts: dict[str, list[np.ndarray]] = {}
    for first in range(0, len(values), ROWS):
        rows = slice(first, first + ROWS)
        for name, value in function(values[rows], label[rows]).items():
            parts.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate(part) for name, part in parts.items()}
