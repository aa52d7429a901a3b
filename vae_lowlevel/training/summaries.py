"""TensorBoard summaries of a run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

GRID_IMAGES = 16


class Summaries:
    """Writes `<model_dir>/summaries/{train,validation}`.

    Args:
        model_dir: the run folder.
        model: draws the image grids.
        images: float32 [N, H, W, C] in [0, 1]; the first 16 are shown.
        labels: int32 [N], of `images`.
        seed: int32 [2], of the sample grid: the same draws each time.
        draw_grid: (images, columns) -> uint8 [height, width, C].
    """

    def __init__(
        self,
        model_dir: str,
        model: tf.Module,
        images: np.ndarray,
        labels: np.ndarray,
        seed: tf.Tensor,
        draw_grid: Callable[[np.ndarray, int], np.ndarray],
    ) -> None:
        self._draw_grid = draw_grid
        self._writers = {
            split: tf.summary.create_file_writer(os.path.join(model_dir, "summaries", split))
            for split in ("train", "validation")
        }
        self._images = tf.constant(images[:GRID_IMAGES])
        label = tf.constant(labels[:GRID_IMAGES])
        self._reconstruct = tf.function(lambda image: model.given(label).reconstruct(image))
        # A model without a prior has no samples to show.
        self._sample = None
        if hasattr(model, "sample"):
            self._sample = tf.function(lambda: model.sample(GRID_IMAGES, seed))

    def scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        """Writes scalars of the split "train" or "validation"."""
        with self._writers[split].as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)

    def image_grids(self, step: int) -> None:
        """Writes grids of inputs, their reconstructions and samples to the split "validation"."""
        grids = {"input": self._images, "reconstruction": self._reconstruct(self._images)}
        if self._sample is not None:
            grids["sample"] = self._sample()
        with self._writers["validation"].as_default(step):
            for name, images in grids.items():
                tf.summary.image(name, self._draw_grid(images.numpy(), 4)[None])

    def flush(self) -> None:
        """Brings what was written to disk."""
        for writer in self._writers.values():
            writer.flush()
