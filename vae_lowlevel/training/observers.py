"""What watches a run: a progress bar or lines, TensorBoard summaries, a profile."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf
import tqdm

# Between two plain lines within an epoch.
LINE_SECONDS = 30.0

SHOWN_TERMS = ("loss", "elbo", "bpd", "distortion", "rate", "mse")
SHOWN_TERMS += ("reconstruction", "penalty", "mean_activation", "psnr")
BLOCK_TERMS = ("loss", "distortion", "rate", "reconstruction", "penalty")


class Reporter:
    """Shows step, epoch, loss, distortion, rate, images/s and time left.

    The bar goes to stderr and only if that is a terminal; lines go to stdout.

    Args:
        first_step: steps done before this session.
        total_steps: steps of the whole run.
        steps_per_epoch: for the epoch's number.
    """

    def __init__(self, first_step: int, total_steps: int, steps_per_epoch: int) -> None:
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._first_step = first_step
        self._start = self._last_line = time.monotonic()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=total_steps, initial=first_step, unit="step", dynamic_ncols=True
            )

    def block(self, step: int, terms: dict[str, float], images_per_second: float) -> None:
        """Shows the means of a block that ended at `step`."""
        epoch = (step - 1) // self._steps_per_epoch + 1
        values = {name: terms[name] for name in BLOCK_TERMS if name in terms}
        if self._bar is not None:
            shown = {name: f"{value:.4g}" for name, value in values.items()}
            self._bar.set_postfix(epoch=epoch, **shown, img_s=f"{images_per_second:.0f}")
            self._bar.update(step - self._bar.n)
            return
        now = time.monotonic()
        if now - self._last_line < LINE_SECONDS:
            return
        self._last_line = now
        left = (now - self._start) / (step - self._first_step) * (self._total_steps - step)
        numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.line(
            f"step {step}/{self._total_steps}  epoch {epoch}  {numbers}  "
            f"{images_per_second:.0f} images/s  {format_seconds(left)} left"
        )

    def epoch(
        self, epoch: int, train: dict[str, float], validation: dict[str, float], seconds: float
    ) -> None:
        """Shows the means of an epoch."""
        parts = [f"epoch {epoch}"]
        for split, terms in (("train", train), ("validation", validation)):
            names = [name for name in SHOWN_TERMS if name in terms]
            if names:
                numbers = "  ".join(f"{name} {terms[name]:.4f}" for name in names)
                parts.append(f"{split}: {numbers}")
        parts.append(format_seconds(seconds))
        self._last_line = time.monotonic()
        self.line(" | ".join(parts))

    def line(self, text: str) -> None:
        """Prints a line without tearing the bar."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)

    def close(self) -> None:
        """Leaves the bar as it is."""
        if self._bar is not None:
            self._bar.close()


def format_seconds(seconds: float) -> str:
    """Returns seconds as `8 s`, `2 min 05 s` or `3 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


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
        self._reconstruct = tf.function(
            lambda image: model.conditioned_on(label).reconstruct(image)
        )
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


class Profile:
    """Writes `<model_dir>/summaries/plugins/profile` for a range of steps.

    Args:
        model_dir: the run folder.
        steps: first and last step, counted from 1; None for no profile.

    Attributes:
        events: the steps at which a block has to end, so that the profile holds whole calls.
    """

    def __init__(self, model_dir: str, steps: tuple[int, int] | None) -> None:
        self._folder = os.path.join(model_dir, "summaries")
        self.events = () if steps is None else (steps[0] - 1, steps[1])
        self._is_on = False

    def before(self, step: int) -> None:
        """Starts, if the block that begins after `step` is the first of the range."""
        if self.events and step == self.events[0]:
            tf.profiler.experimental.start(self._folder)
            self._is_on = True

    def after(self, step: int) -> None:
        """Stops and writes, if the block that ended at `step` is the last of the range."""
        if self._is_on and step == self.events[1]:
            self.close()

    def close(self) -> None:
        """Writes what there is, if the run ends within the range."""
        if self._is_on:
            tf.profiler.experimental.stop()
            self._is_on = False
