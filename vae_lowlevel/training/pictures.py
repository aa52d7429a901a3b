"""Pictures while a model is trained: the same images reconstructed, and the same draws decoded."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.types import Examples, Model, to_unit

# Images that are reconstructed, and drawn from the prior.
SHOWN_IMAGES = 16

# A picture that takes more than this part of its epoch is drawn at most once in `LEAST_SECONDS`.
MOST_OF_EPOCH = 0.02
LEAST_SECONDS = 60.0


class Drawn(NamedTuple):
    """What a model makes of the images and of the draws.

    Attributes:
        reconstructions: float32 [N, H, W, C] in [0, 1].
        samples: float32 [`SHOWN_IMAGES`, H, W, C] in [0, 1]; None for a model without a prior.
    """

    reconstructions: np.ndarray
    samples: np.ndarray | None


class ShownImages:
    """Reconstructs the same images, and decodes the same draws, once per step.

    Args:
        model: while it is trained.
        examples: whose reconstructions are shown.
        seed: int32 [2], of the draws from the prior.

    Attributes:
        inputs: the images, float32 [N, H, W, C] in [0, 1].
    """

    def __init__(self, model: Model, examples: Examples, seed: tf.Tensor) -> None:
        images = to_unit(examples.image)
        label = tf.constant(examples.label)
        self.inputs = images.numpy()
        self._step: int | None = None

        @tf.function(autograph=False)
        def draw() -> tuple[tf.Tensor, ...]:
            reconstructions = model.conditioned_on(label).reconstruct(images)
            samples = (model.sample(SHOWN_IMAGES, seed),) if model.has_prior else ()
            return reconstructions, *samples

        self._draw = draw

    def draw(self, step: int) -> Drawn:
        """Returns what the model draws at a step; computed once however often it is called."""
        if step != self._step:
            # Traced here and not by a call: TensorFlow counts the calls of all objects of this
            # class together and would warn of retracing after the fifth short run of a process.
            drawn = self._draw.get_concrete_function()()
            reconstructions, *samples = (pictures.numpy() for pictures in drawn)
            self._drawn = Drawn(reconstructions, samples[0] if samples else None)
            self._step = step
        return self._drawn


class ProgressPicture:
    """Writes one picture of what the model can do, after each epoch: see `Observer`.

    Where the picture would take more than 2% of an epoch's time, it is written after the first and
    the last epoch of a session and at most every 60 seconds in between.

    Args:
        path: of the PNG file; its folder is made if missing.
        shown: draws the images.
        render: (inputs, what is drawn) -> content of a PNG file.
        total_steps: of the run.
    """

    def __init__(
        self,
        path: str,
        shown: ShownImages,
        render: Callable[[np.ndarray, Drawn], bytes],
        total_steps: int,
    ) -> None:
        self._path = path
        self._shown = shown
        self._render = render
        self._total_steps = total_steps
        self._written = -LEAST_SECONDS
        self._seconds = 0.0

    def begin(self, step: int) -> None:
        """See `Observer.begin`; there is nothing to show yet."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """See `Observer.block`; blocks do not matter here."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes the picture, unless that takes too long."""
        start = time.monotonic()
        is_costly = self._seconds > MOST_OF_EPOCH * record["seconds"]
        is_last = record["step"] == self._total_steps
        if is_costly and not is_last and start - self._written < LEAST_SECONDS:
            return
        content = self._render(self._shown.inputs, self._shown.draw(record["step"]))
        files.make_folder(os.path.dirname(self._path))
        files.write(self._path, content)
        self._written = time.monotonic()
        self._seconds = self._written - start

    def close(self) -> None:
        """See `Observer.close`; the picture stays."""
