"""What passes between packages: batches, data sets, the contracts of models and objectives.

Also what a pixel value means: `to_unit` maps stored pixels to what models see, `psnr` an error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.randomness import BatchNoise
from vae_lowlevel.schedules import Schedule

# A perfect reconstruction would have an infinite PSNR: 100 dB, at this error, is the most reported.
SMALLEST_MSE = 1e-10


def to_unit(pixels: np.ndarray | tf.Tensor) -> tf.Tensor:
    """Maps stored values of any shape to float32 in [0, 1]: integers by 1 / 255, floats as is."""
    values = tf.cast(pixels, tf.float32)
    return values if tf.as_dtype(pixels.dtype).is_floating else values / 255.0


def is_vector_shape(image_shape: Sequence[int]) -> bool:
    """Returns whether images of this shape are rows of D numbers, as vectors are: (1, D, 1)."""
    return image_shape[0] == 1 and image_shape[2] == 1


def stored_spec(rows: int, image_shape: Sequence[int]) -> tf.TensorSpec:
    """Returns what a batch of `Examples.image` is: uint8 images or float32 vectors."""
    dtype = tf.float32 if is_vector_shape(image_shape) else tf.uint8
    return tf.TensorSpec([rows, *image_shape], dtype)


def psnr(mse: tf.Tensor) -> tf.Tensor:
    """Computes -10 log10(mse), at most 100 dB, of squared errors per pixel, float32, any shape."""
    return -10.0 * tf.math.log(tf.math.maximum(mse, SMALLEST_MSE)) / tf.math.log(10.0)


class Batch(NamedTuple):
    """Examples as the model sees them.

    Attributes:
        image: float32 [B, H, W, C] in [0, 1].
        label: int32 [B], the class; -1 where the data have none.
        corrupted: what the encoder sees in place of `image`, as `image`; None for `image` itself.
    """

    image: tf.Tensor
    label: tf.Tensor
    corrupted: tf.Tensor | None = None

    @property
    def encoder_input(self) -> tf.Tensor:
        """What the encoder sees, float32 [B, H, W, C] in [0, 1]."""
        return self.image if self.corrupted is None else self.corrupted


# (batch, noise) -> batch: what training and evaluation do to a batch before the objective sees it.
Transform = Callable[[Batch, BatchNoise], Batch]

# Wraps the numbers of the batches that a loop goes through, to show how far it is.
ProgressBar = Callable[[Iterable[int]], Iterable[int]]

# [B, ...] -> [...]: the mean over the rows of the global batch, on all replicas.
GlobalMean = Callable[[tf.Tensor], tf.Tensor]


class ConditionedModel(Protocol):
    """A model for a batch whose labels, if it takes any, it knows already.

    Images are float32 [B, H, W, C] in [0, 1], latents float32 [B, D].

    Attributes:
        latent_dim: D.
        has_prior: whether there is a p(z); the model is then a `ConditionedVAE`.
        encoder: maps images to the parameters of q(z|x), [B, P], or to the features of a code.
        likelihood: maps the decoder's output to p(x|z); see `distributions.likelihoods`.
    """

    latent_dim: int
    has_prior: bool
    encoder: Callable[[tf.Tensor], tf.Tensor]
    likelihood: Any

    def encode(self, image: tf.Tensor) -> Any:
        """Returns the posterior q(z|x) over [B, D], or the code [B, D]."""

    def decode(self, z: tf.Tensor) -> tfp.distributions.Distribution:
        """Returns p(x|z) over [..., B, H, W, C] for z [..., B, D]; for a code, [B, D] only."""

    def embed(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the one z that represents each image, [B, D]: a posterior mean or a code."""

    def describe(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the parameters of q(z|x), or the code, by name, float32 [B, ...]."""

    def reconstruct(self, image: tf.Tensor) -> tf.Tensor:
        """Returns the mean image of p(x|z) at z = embed(image), [B, H, W, C]."""


class ConditionedVAE(ConditionedModel, Protocol):
    """A `ConditionedModel` with a prior p(z) and a posterior q(z|x).

    Attributes:
        prior: called, it returns p(z) over [D].
        posterior: maps the encoder's output to q(z|x); see `distributions.posteriors`.
        has_closed_form_kl: whether `kl_per_dimension` can be computed.
    """

    prior: Callable[[], tfp.distributions.Distribution]
    posterior: Any
    has_closed_form_kl: bool

    def kl_per_dimension(self, posterior: tfp.distributions.Distribution) -> tf.Tensor:
        """Returns KL(q(z_j|x) || p(z_j)) in nats from the closed form, float32 [B, D]."""

    def sample_and_log_prob(
        self, posterior: tfp.distributions.Distribution, noise: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns z [..., B, D] and log q(z|x) [..., B] for noise [..., B, D] of N(0, 1)."""


class Model(Protocol):
    """What training, evaluation, plots and serving use of a model: a `tf.Module` of `models`.

    Attributes:
        image_shape: (H, W, C).
        latent_dim: D.
        num_classes: classes that labels tell apart; 0 for a model that takes no labels.
        has_prior: whether there is a p(z), and with it `prior`, `tempered` and `sample`.
        prior: called, it returns p(z) over [D].
        encoder: chain of layers from an image.
        decoder: chain of layers from z.
        variables: all variables.
        trainable_variables: those that training may change.
    """

    image_shape: tuple[int, int, int]
    latent_dim: int
    num_classes: int
    has_prior: bool
    prior: Callable[[], tfp.distributions.Distribution]
    encoder: tf.Module
    decoder: tf.Module
    variables: Sequence[tf.Variable]
    trainable_variables: Sequence[tf.Variable]

    def conditioned_on(self, label: tf.Tensor | None) -> ConditionedModel:
        """Returns the model for a batch with these labels.

        Args:
            label: int32 [B], -1 for an unknown class; ignored by a model that takes no labels,
                where it may be None.
        """

    def tempered(
        self, prior: tfp.distributions.Distribution, temperature: tf.Tensor
    ) -> tfp.distributions.Distribution:
        """Returns the prior with its scale times the temperature, a scalar at least 0."""

    def sample(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Returns mean images of `n` draws from the prior, float32 [n, H, W, C].

        Only where `has_prior`; `seed` is int32 [2].
        """


class Objective(Protocol):
    """What is minimized, measured per example: see `objectives`.

    Attributes:
        terms: names of the terms, in the order in which they are returned; one is `loss`.
        schedules: step -> float32 scalar, for what changes during a run, by name.
    """

    terms: tuple[str, ...]
    schedules: Mapping[str, Schedule]

    def __call__(
        self,
        model: Model,
        batch: Batch,
        noise: BatchNoise,
        step: tf.Tensor,
        global_mean: GlobalMean,
    ) -> Any:
        """Returns a named tuple of the terms, float32 [B] each.

        Args:
            model: a built model.
            batch: the rows of this replica.
            noise: of this step, for these rows.
            step: integer scalar, for the schedules.
            global_mean: see `GlobalMean`.
        """

    def report(self, means: Mapping[str, float]) -> dict[str, float]:
        """Returns the means and what is derived from them, such as bits per dimension."""


@dataclasses.dataclass(frozen=True)
class Examples:
    """A split of a data set, in host memory.

    Attributes:
        image: uint8 [N, H, W, C]; float32 in [0, 1] where H and C are 1, as of vectors.
        label: int32 [N], the class; -1 where the data have none.
        factors: float32 [N, K], the known factors of variation, or None.
    """

    image: np.ndarray
    label: np.ndarray
    factors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, rows: slice | np.ndarray) -> Examples:
        factors = None if self.factors is None else self.factors[rows]
        return Examples(self.image[rows], self.label[rows], factors)


class StreamedExamples(Protocol):
    """A training split that stays on disk: `data.records.stream.RecordStream`."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice | np.ndarray) -> Examples:
        """Reads some examples into memory."""


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set: its splits and what its labels mean.

    Attributes:
        train: the training split, validation examples taken out; where it does not fit into memory,
            a stream with a length, from which rows are read as from `Examples`.
        validation: examples held out from the training split; may be empty.
        test: the test split.
        class_names: one name per class; empty where the data have no classes.
        factor_names: one name per column of `Examples.factors`.
        has_grey_levels: whether the values are 8-bit grey levels; False for vectors of floats.
    """

    train: Examples | StreamedExamples
    validation: Examples
    test: Examples
    class_names: tuple[str, ...] = ()
    factor_names: tuple[str, ...] = ()
    has_grey_levels: bool = True

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return tuple(self.test.image.shape[1:])

    @property
    def num_classes(self) -> int:
        """How many classes the labels tell apart; 0 where the data have none."""
        return len(self.class_names)
