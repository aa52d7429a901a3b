"""TensorBoard summaries of a run while it is trained: scalars, images and histograms."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.training.observers import named_summaries
from vae_lowlevel.training.pictures import ShownImages

# Step -> values of any shape, by tag.
Histograms = Callable[[int], Mapping[str, np.ndarray]]

# TensorBoard shows the scalars of a group together. What is not listed here is one of the `terms`.
GROUPS = {
    "loss": ("loss", "elbo", "bound", "bpd"),
    "image_quality": ("mse", "psnr", "ssim"),
    "latents": ("active_units",),
    "schedules": ("kl_weight", "capacity", "learning_rate"),
    "optimizer": ("gradient_norm", "skipped", "loss_scale"),
    "speed": ("images_per_second",),
}
_GROUP_OF = {name: group for group, names in GROUPS.items() for name in names}

# Images in a row of the grids.
COLUMNS = 4


class Summaries:
    """Writes TensorBoard summaries to `<folder>/train` and `<folder>/validation`.

    `train` has the scalars of each block; `validation` has those of each epoch, grids of inputs,
    reconstructions and samples, and histograms.

    Args:
        folder: of the summaries.
        shown: draws the images.
        draw_grid: (images, columns) -> uint8 [height, width, C].
        histograms: called after each epoch.
    """

    def __init__(
        self,
        folder: str,
        shown: ShownImages,
        draw_grid: Callable[[np.ndarray, int], np.ndarray],
        histograms: Sequence[Histograms] = (),
    ) -> None:
        self._folder = folder
        self._shown = shown
        self._draw_grid = draw_grid
        self._histograms = tuple(histograms)
        self._has_inputs = False
        with named_summaries(folder):
            self._writers = {
                split: tf.summary.create_file_writer(tf.io.gfile.join(folder, split))
                for split in ("train", "validation")
            }

    def begin(self, step: int) -> None:
        """Has TensorBoard drop what an earlier session wrote after the step that it resumes from.

        A session that was killed may have written more than the checkpoint has.
        """
        log = tf.compat.v1.SessionLog(status=tf.compat.v1.SessionLog.START)
        event = tf.compat.v1.Event(wall_time=time.time(), step=step + 1, session_log=log)
        with named_summaries(self._folder):
            for writer in self._writers.values():
                # No public function writes an event that is not a summary.
                tf.raw_ops.ImportEvent(writer=writer._resource, event=event.SerializeToString())

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """Writes the means of a training block."""
        with self._writing("train", step):
            write_scalars(means)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes the validation means, grids and histograms, and all of it to disk.

        The inputs are the same each time, so they are written once.
        """
        step = record["step"]
        shown = self._shown.draw(step)
        grids = {} if self._has_inputs else {"input": self._shown.inputs}
        self._has_inputs = True
        grids["reconstruction"] = shown.reconstructions
        if shown.samples is not None:
            grids["sample"] = shown.samples
        values = [measure(step) for measure in self._histograms]
        with self._writing("validation", step):
            write_scalars(record["validation"])
            for name, images in grids.items():
                tf.summary.image(f"images/{name}", self._draw_grid(images, COLUMNS)[None])
            for name, numbers in (pair for named in values for pair in named.items()):
                # No bucket could hold a number that is not finite.
                finite = numbers[np.isfinite(numbers)]
                tf.summary.histogram(name, finite.astype(np.float32))
        self.close()

    def close(self) -> None:
        """Writes to disk what is still in memory."""
        with named_summaries(self._folder):
            for writer in self._writers.values():
                writer.flush()

    @contextlib.contextmanager
    def _writing(self, split: str, step: int) -> Iterator[None]:
        # Numbers of NumPy: TensorFlow keeps a tensor of every Python number that it has ever seen.
        with named_summaries(self._folder), self._writers[split].as_default(np.int64(step)):
            yield


def write_scalars(values: Mapping[str, float]) -> None:
    """Writes scalars to the default writer, tagged `<group>/<name>`; see `GROUPS`."""
    for name, value in values.items():
        tf.summary.scalar(f"{_GROUP_OF.get(name, 'terms')}/{name}", np.float32(value))
