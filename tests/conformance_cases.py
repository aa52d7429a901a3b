"""The cases: rows of factors with the model, the data and the training step they describe."""

from __future__ import annotations

import dataclasses
import functools
import zlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import covering
import numpy as np
import tensorflow as tf
from conformance_factors import FACTORS, D, flags_of

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.types import Batch

# Examples and classes. Over 32 examples the effect of rounding averages out.
B, K = 32, 4

# Factor on the initial kernels, with which a decoder depends more on z.
KERNEL_GAIN = 1.5
# What is added to biases, offsets and scales. They start at 0 or 1, where a layer that leaves them
# out would not be noticed.
BIAS_RANGE = (-0.5, 1.0)

# Where the loss scale puts the largest entry of the gradient: far below 65504, the largest float16.
LARGEST_GRADIENT = 256.0


class Noise:
    """The same noise for every way to run a step: XLA draws other numbers than TensorFlow."""

    first_row, rows, global_rows = 0, B, B

    def normal(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(_generator(purpose).normal(size=[B, *shape]), tf.float32)

    def uniform(self, purpose: str, shape: tuple[int, ...]) -> tf.Tensor:
        return tf.constant(_generator(purpose).uniform(size=[B, *shape]), tf.float32)


def _generator(purpose: str) -> np.random.Generator:
    return np.random.default_rng(zlib.crc32(purpose.encode()))


class Step(NamedTuple):
    """What a training step computes.

    Attributes:
        terms: the objective's terms by name, float32 [B] each.
        gradients: of the mean loss, one per trainable variable.
    """

    terms: dict[str, tf.Tensor]
    gradients: list[tf.Tensor]


class Case:
    """A row: the model and the training step that it describes.

    Args:
        row: factor -> value, for every factor.
        turns: factor -> number of the kind of its value. Where the settings refuse one kind
            together with the others, the next ones are tried.
    """

    def __init__(self, row: covering.Row, turns: Mapping[str, int]) -> None:
        self.row = row
        self._turns = turns
        self.image_shape = tuple(int(size) for size in row["image"].split("x"))

    @functools.cached_property
    def config(self) -> Config:
        """The settings."""
        most = max(len(kinds) for values in FACTORS.values() for kinds in values.values())
        refusals = []
        for later in range(most):
            turns = {factor: turn + later for factor, turn in self._turns.items()}
            try:
                return Config.from_flat(flags_of(self.row, turns))
            except ConfigError as error:
                refusals.append(str(error))
        raise ConfigError(f"{self.name}: {refusals}")

    @property
    def name(self) -> str:
        """The values, joined in the order of the factors."""
        return "-".join(self.row[factor] for factor in FACTORS)

    @property
    def precision(self) -> str:
        return self.config.model.precision

    @property
    def has_kink(self) -> bool:
        """Whether the gradient jumps where a hidden unit or a unit of the code passes 0."""
        model = self.config.model
        is_sparse = model.model == "sparse_autoencoder"
        return "relu" in (model.activation, model.latent_activation if is_sparse else None)

    def build(self, seed: int = 0, **changes: Any) -> tf.Module:
        """Builds the model, with other settings where changes are given."""
        settings = dataclasses.replace(self.config.model, **changes)
        model = assembly.build_model(settings, self.image_shape, seed, num_classes=K)
        generator = np.random.default_rng(seed)
        for variable in model.trainable_variables:
            if variable.shape.rank < 2:
                variable.assign_add(generator.uniform(*BIAS_RANGE, size=variable.shape))
            else:
                variable.assign(KERNEL_GAIN * variable)
        if not model.has_prior:
            # The penalty of a unit that is nearly silent, or nearly always active, would have no
            # digits left.
            head = model.encoder.layers[-1]
            head.bias.assign_add(tf.ones([D]))
            head.kernel.assign(0.5 * head.kernel)
        return model

    @property
    def images(self) -> tf.Tensor:
        """Noise around a grey level of each image and channel, float32 [B, H, W, C] in [0, 1].

        Of noise alone, all images would have nearly the same posterior.
        """
        generator = np.random.default_rng(0)
        level = generator.uniform(size=[B, 1, 1, self.image_shape[-1]])
        pixels = 0.7 * level + 0.3 * generator.uniform(size=[B, *self.image_shape])
        return tf.constant(pixels, tf.float32)

    @property
    def labels(self) -> tf.Tensor:
        """Labels that differ, int32 [B]."""
        return tf.range(B) % K

    @functools.cached_property
    def model(self) -> tf.Module:
        """The model, built once."""
        return self.build()

    @functools.cached_property
    def reference(self) -> tf.Module:
        """The same model with the same weights in float32."""
        return self.model if self.precision == "float32" else self.build(precision="float32")

    @functools.cached_property
    def reference_step(self) -> Step:
        """The eager step of the reference."""
        return self.make_step(self.reference)(self.images, self.labels)

    @functools.cached_property
    def step(self) -> Step:
        """The eager step of the model."""
        if self.precision == "float32":
            return self.reference_step
        return self.make_step(self.model, self.loss_scale)(self.images, self.labels)

    @functools.cached_property
    def loss_scale(self) -> float:
        """The factor on the loss: a power of two that keeps float16 gradients in range."""
        if self.precision != "float16":
            return 1.0
        largest = max(float(np.max(np.abs(g))) for g in self.reference_step.gradients)
        return 2.0 ** np.floor(np.log2(LARGEST_GRADIENT / largest))

    def make_terms(self, model: tf.Module) -> Callable[[tf.Tensor, tf.Tensor], Any]:
        """Returns (images, labels) -> the objective's terms, a named tuple."""
        objective = assembly.build_objective(self.config, self.image_shape, steps_per_epoch=1)
        transform = assembly.build_training_transform(self.config)

        def compute(image: tf.Tensor, label: tf.Tensor) -> Any:
            batch = Batch(image, label)
            batch = batch if transform is None else transform(batch, Noise())
            # At step 1 every schedule is above 0.
            step = tf.constant(1, tf.int64)
            return objective(model, batch, Noise(), step, lambda x: tf.reduce_mean(x, 0))

        return compute

    def make_step(
        self, model: tf.Module, loss_scale: float = 1.0
    ) -> Callable[[tf.Tensor, tf.Tensor], Step]:
        """Returns (images, labels) -> `Step`, whose gradients are without the loss scale."""
        compute_terms = self.make_terms(model)

        def compute(image: tf.Tensor, label: tf.Tensor) -> Step:
            with tf.GradientTape() as tape:
                terms = compute_terms(image, label)
                loss = loss_scale * tf.reduce_mean(terms.loss)
            gradients = tape.gradient(loss, model.trainable_variables)
            return Step(terms._asdict(), [gradient / loss_scale for gradient in gradients])

        return compute


def outputs_of(
    model: tf.Module, image: tf.Tensor, label: tf.Tensor, seed: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Returns everything that a model tells about images, by name."""
    conditioned = model.conditioned_on(label)
    decoded = conditioned.decoder(conditioned.embed(image))
    outputs = {
        "likelihood_parameters": tf.cast(decoded, tf.float32),
        "mean_image": conditioned.likelihood(decoded).mean(),
    }
    if not model.has_prior:
        return outputs | conditioned.describe(image)
    return outputs | conditioned(image, seed)
