"""What signatures compute with a model, as XLA programs or not."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from vae_lowlevel.serving.scores import SCORE_DRAWS, best_log_probs, score_terms
from vae_lowlevel.types import Model


def on_any_batch(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method of `ModelFunctions` accept empty batches, and compiles it if `jit_compile`.

    On a CPU, TensorFlow fuses convolution, bias and activation; for an empty batch the fused
    operation returns a tensor with the height, width and channels of its input. So the method
    computes one row of zeros, which is cut off.
    """

    @functools.wraps(function)
    def run(self: ModelFunctions, batch: tf.Tensor, label: tf.Tensor | None) -> Any:
        rows = tf.shape(batch)[0]
        batch = _pad_empty(batch, rows)
        label = None if label is None else _pad_empty(label, rows)
        # Not whole signatures: XLA leaves assertions out and draws other random numbers.
        compute = function
        if self.jit_compile:
            compute = tf.function(function, jit_compile=True, autograph=False)
        return tf.nest.map_structure(lambda value: value[:rows], compute(self, batch, label))

    return run


def _pad_empty(batch: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Returns a batch of this number of rows, or one row of zeros for an empty batch."""
    missing = tf.maximum(1 - rows, 0)
    return tf.concat([batch, tf.zeros([missing, *batch.shape[1:]], batch.dtype)], 0)


class ModelFunctions:
    """Functions of a batch and its labels, int32 [B]; None for a model that takes none. B may be 0.

    Args:
        model: the model.
        anomaly_score: which of `scores.ANOMALY_SCORES` is the anomaly score.
        jit_compile: compile each function with XLA.
    """

    def __init__(self, model: Model, *, anomaly_score: str, jit_compile: bool) -> None:
        self.jit_compile = jit_compile
        self._model = model
        self._anomaly_score = anomaly_score
        self._best_log_probs = None
        if anomaly_score == "bias_corrected":
            unknown = tf.constant([-1])
            self._best_log_probs = best_log_probs(model.conditioned_on(unknown).likelihood)
        noise = tf.random.stateless_normal([SCORE_DRAWS, model.latent_dim], [0, 0])
        self._score_noise = noise.numpy()

    @on_any_batch
    def describe(self, image: tf.Tensor, label: tf.Tensor | None) -> dict[str, tf.Tensor]:
        """Returns the parameters of q(z|x), or the code, by name, float32 [B, ...]."""
        return self._model.conditioned_on(label).describe(image)

    @on_any_batch
    def embed(self, image: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Returns the one z that represents each image, float32 [B, D]."""
        return self._model.conditioned_on(label).embed(image)

    @on_any_batch
    def decode(self, z: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Returns the mean image of p(x|z), float32 [B, H, W, C]."""
        return self._model.conditioned_on(label).decode(z).mean()

    @on_any_batch
    def reconstruct(self, image: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        """Returns the image decoded from `embed(image)`, float32 [B, H, W, C]."""
        return self._model.conditioned_on(label).reconstruct(image)

    @on_any_batch
    def score(self, image: tf.Tensor, label: tf.Tensor | None) -> dict[str, tf.Tensor]:
        """Returns `score_terms`, with the same noise at every call."""
        model, noise = self._model.conditioned_on(label), tf.constant(self._score_noise)
        return score_terms(model, image, noise, self._anomaly_score, self._best_log_probs)
