"""What watches a run: a progress bar or lines, TensorBoard summaries, a profile.

The loop tells its observers when it begins, after each block and epoch, and when it ends.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tqdm

from vae_lowlevel.errors import RunError, first_line
from vae_lowlevel.types import Examples, Model, to_unit

# Seconds between two plain lines within an epoch.
LINE_SECONDS = 30.0

# Images in each grid of the summaries.
GRID_IMAGES = 16

BLOCK_TERMS = ("loss", "bound", "distortion", "rate", "reconstruction", "penalty")
EPOCH_TERMS = ("loss", "bound", "elbo", "total_correlation", "bpd", "distortion", "rate", "mse")
EPOCH_TERMS += ("reconstruction", "penalty", "mean_activation", "psnr")


class Observer(Protocol):
    """Watches a run."""

    def begin(self, step: int) -> None:
        """Is called before the first block, at the step from which this session trains."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """Is called with the means of the block that ended at `step`.

        They include `images_per_second` and `skipped`, the part of the steps that were skipped;
        where all were, there are no means of terms.
        """

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Is called with `epoch`, `step`, `train` and `validation` means, `seconds` of an epoch."""

    def close(self) -> None:
        """Is called when this session ends, by an error too."""


class Reporter:
    """Shows step, epoch, loss, distortion, rate, images/s and time left.

    The bar goes to stderr, and only if that is a terminal; lines go to stdout.

    Args:
        total_steps: steps of the whole run.
        steps_per_epoch: for the epoch's number.
    """

    def __init__(self, total_steps: int, steps_per_epoch: int) -> None:
        self._total_steps = total_steps
        self._steps_per_epoch = steps_per_epoch
        self._bar: tqdm.tqdm | None = None

    def begin(self, step: int) -> None:
        """See `Observer.begin`."""
        self._first_step = step
        self._start = self._last_line = time.monotonic()
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                total=self._total_steps, initial=step, unit="step", dynamic_ncols=True
            )

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """See `Observer.block`."""
        epoch = (step - 1) // self._steps_per_epoch + 1
        values = {name: means[name] for name in BLOCK_TERMS if name in means}
        if means["skipped"]:
            values["skipped"] = means["skipped"]
        images_per_second = means["images_per_second"]
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
        self._print(
            f"step {step}/{self._total_steps}  epoch {epoch}  {numbers}  "
            f"{images_per_second:.0f} images/s  {format_seconds(left)} left"
        )

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Observer.epoch`."""
        parts = [f"epoch {record['epoch']}"]
        for split in ("train", "validation"):
            means = record[split]
            shown = [name for name in EPOCH_TERMS if name in means]
            shown += ["skipped"] if means.get("skipped") else []
            if shown:
                numbers = "  ".join(f"{name} {means[name]:.4f}" for name in shown)
                parts.append(f"{split}: {numbers}")
        parts.append(format_seconds(record["seconds"]))
        self._last_line = time.monotonic()
        self._print(" | ".join(parts))

    def close(self) -> None:
        """See `Observer.close`; the bar stays as it is."""
        if self._bar is not None:
            self._bar.close()

    def _print(self, text: str) -> None:
        """Prints a line without tearing the bar."""
        if self._bar is None:
            print(text, flush=True)
        else:
            self._bar.write(text, file=sys.stdout)


class Summaries:
    """Writes TensorBoard summaries to `<folder>/train` and `<folder>/validation`.

    Args:
        folder: of the summaries.
        model: draws the image grids.
        examples: the images whose reconstructions are shown.
        seed: int32 [2], of the sample grid: the same draws each time.
        draw_grid: (images, columns) -> uint8 [height, width, C].
    """

    def __init__(
        self,
        folder: str,
        model: Model,
        examples: Examples,
        seed: tf.Tensor,
        draw_grid: Callable[[np.ndarray, int], np.ndarray],
    ) -> None:
        self._folder = folder
        self._draw_grid = draw_grid
        with _named_folder(folder):
            self._writers = {
                split: tf.summary.create_file_writer(tf.io.gfile.join(folder, split))
                for split in ("train", "validation")
            }
        self._images = to_unit(examples.image)
        label = tf.constant(examples.label)
        self._reconstruct = tf.function(
            lambda image: model.conditioned_on(label).reconstruct(image), autograph=False
        )
        self._sample = None
        if model.has_prior:
            self._sample = tf.function(lambda: model.sample(GRID_IMAGES, seed), autograph=False)

    def begin(self, step: int) -> None:
        """See `Observer.begin`; nothing is written yet."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """Writes the means of a training block."""
        self._write_scalars("train", step, means)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Writes the validation means, and grids of inputs, reconstructions and samples."""
        step = record["step"]
        self._write_scalars("validation", step, record["validation"])
        grids = {"input": self._images, "reconstruction": self._reconstruct(self._images)}
        if self._sample is not None:
            grids["sample"] = self._sample()
        with self._writing("validation", step):
            for name, images in grids.items():
                tf.summary.image(name, self._draw_grid(images.numpy(), 4)[None])

    def close(self) -> None:
        """Writes to disk what is still in memory."""
        with _named_folder(self._folder):
            for writer in self._writers.values():
                writer.flush()

    def _write_scalars(self, split: str, step: int, values: Mapping[str, float]) -> None:
        with self._writing(split, step):
            for name, value in values.items():
                tf.summary.scalar(name, np.float32(value))

    @contextlib.contextmanager
    def _writing(self, split: str, step: int) -> Iterator[None]:
        # Numbers of NumPy: TensorFlow keeps a tensor of every Python number that it has ever seen.
        with _named_folder(self._folder), self._writers[split].as_default(np.int64(step)):
            yield


class Profile:
    """Writes a profile of a range of steps, `<folder>/plugins/profile`, for TensorBoard.

    Blocks have to end at the step before the range and at its last step.

    Args:
        folder: of the summaries.
        steps: first and last step, counted from 1.
    """

    def __init__(self, folder: str, steps: tuple[int, int]) -> None:
        self._folder = folder
        self._before, self._last = steps[0] - 1, steps[1]
        self._is_on = False

    def begin(self, step: int) -> None:
        """Starts the profile, if the range begins here."""
        if step == self._before:
            with _named_folder(self._folder):
                tf.profiler.experimental.start(self._folder)
            self._is_on = True

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """Stops after the last step of the range, or starts before its first."""
        del means
        if step == self._last:
            self.close()
        self.begin(step)

    def epoch(self, record: Mapping[str, Any]) -> None:
        """See `Observer.epoch`; epochs do not matter here."""

    def close(self) -> None:
        """Writes what there is, if the run ends within the range."""
        if self._is_on:
            self._is_on = False
            with _named_folder(self._folder):
                tf.profiler.experimental.stop()


@contextlib.contextmanager
def _named_folder(folder: str) -> Iterator[None]:
    """Turns what prevents TensorFlow from writing, such as a full disk, into one clear error."""
    try:
        yield
    except tf.errors.OpError as error:
        raise RunError(
            f"cannot write the summaries to {folder}: {first_line(error)}\nThe run is saved up to "
            "its latest checkpoint. Free some space or repair the folder, then give the same "
            "command: it resumes from there"
        ) from error


def format_seconds(seconds: float) -> str:
    """Returns seconds as `8 s`, `2 min 05 s` or `3 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
