"""Means of the objective's terms over a split: the same formula as in training."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable, Iterable, Iterator

import numpy as np
import tensorflow as tf

from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.types import (
    Batch,
    ConditionedModel,
    Examples,
    Model,
    Objective,
    Transform,
    stored_spec,
    to_unit,
)

PaddedBatches = Iterable[tuple[Examples, np.ndarray]]


class TermMeans:
    """Evaluates an objective on padded batches; every example counts once.

    The noise depends on the run's seed and the batch's number only, so that two evaluations of the
    same weights agree.

    Args:
        model: a built model.
        objective: what is evaluated.
        batch_size: rows of every batch.
        seed: of the run.
        per_example: (conditioned model, batch) -> {name: float32 [B] or [B, D]}, further terms to
            average, or None. The mean of the latter is a list of D numbers.
        transform: (batch, noise) -> batch, applied first; None for none. Its noise is that of
            seed 0, so that runs with other seeds see the same batches.
    """

    def __init__(
        self,
        model: Model,
        objective: Objective,
        *,
        batch_size: int,
        seed: int,
        per_example: Callable[[ConditionedModel, Batch], dict[str, tf.Tensor]] | None = None,
        transform: Transform | None = None,
    ) -> None:
        self._model = model
        self._objective = objective
        self._batch_size = batch_size
        self._seed = fold(make_seed(seed), "evaluation")
        self._per_example = per_example
        self._transform = transform
        image = stored_spec(batch_size, model.image_shape)
        label = tf.TensorSpec([batch_size], tf.int32)
        mask = tf.TensorSpec([batch_size], tf.float32)
        number = tf.TensorSpec([], tf.int64)
        self._batch_sums = tf.function(
            self._compute_batch_sums,
            input_signature=[image, label, mask, number, number],
            autograph=False,
        )

    def __call__(self, batches: PaddedBatches, step: int) -> tuple[dict[str, float], np.ndarray]:
        """Averages over all examples.

        Args:
            batches: pairs of `Examples` and their float32 [B] mask, 0 where a row is padding.
            step: for the objective's schedules.

        Returns:
            The mean of each term and what the objective derives from them, and the z that represent
            the images, float32 [N, D].
        """
        sums: dict[str, np.ndarray] = {}
        count = 0.0
        z_means = []
        # Traced here and not by a call: TensorFlow counts the calls of all objects of this class
        # together and would warn of retracing after the fifth short run of a process.
        self._batch_sums.get_concrete_function()
        for number, (examples, mask) in enumerate(batches):
            totals, z_mean = self._batch_sums(
                examples.image,
                examples.label,
                mask,
                tf.constant(number, tf.int64),
                tf.constant(step, tf.int64),
            )
            for name, value in totals.items():
                sums[name] = sums.get(name, 0.0) + value.numpy().astype(np.float64)
            count += float(mask.sum())
            z_means.append(z_mean.numpy()[mask > 0])
        means = {name: (value / count).tolist() for name, value in sums.items()}
        return self._objective.report(means), np.concatenate(z_means)

    def _compute_batch_sums(
        self,
        image: tf.Tensor,
        label: tf.Tensor,
        mask: tf.Tensor,
        number: tf.Tensor,
        step: tf.Tensor,
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        batch = Batch(to_unit(image), label)
        noise = BatchNoise(fold(self._seed, number), 0, self._batch_size, self._batch_size)
        if self._transform is not None:
            seed = fold(fold(make_seed(0), "evaluation"), number)
            batch = self._transform(batch, noise._replace(seed=seed))

        def global_mean(values: tf.Tensor) -> tf.Tensor:
            return tf.linalg.matvec(values, mask, transpose_a=True) / tf.reduce_sum(mask)

        model = self._model.conditioned_on(batch.label)
        with _encoding_once(model):
            terms = self._objective(model, batch, noise, step, global_mean)._asdict()
            if self._per_example is not None:
                terms.update(self._per_example(model, batch))
            z_mean = model.embed(batch.encoder_input)
        return {name: _sum_rows(term, mask) for name, term in terms.items()}, z_mean


@contextlib.contextmanager
def _encoding_once(model: ConditionedModel) -> Iterator[None]:
    """Has the encoder process each tensor once, however often it is called within the body.

    TensorFlow reads the variables again in each call, and so computes each call.
    """
    encoder = model.encoder
    outputs: dict[Hashable, tf.Tensor] = {}

    def encode(image: tf.Tensor) -> tf.Tensor:
        if image.ref() not in outputs:
            outputs[image.ref()] = encoder(image)
        return outputs[image.ref()]

    model.encoder = encode
    try:
        yield
    finally:
        model.encoder = encoder


def _sum_rows(term: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    if term.shape.rank == 1:
        return tf.reduce_sum(term * mask)
    return tf.linalg.matvec(term, mask, transpose_a=True)
