"""The host's side of training: when to run a block, look, save and stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint import RunCheckpoints
from vae_lowlevel.training.feed import Feed
from vae_lowlevel.training.interrupts import StopRequest
from vae_lowlevel.training.observers import Profile, Reporter, Summaries
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.training.step import TrainBlock
from vae_lowlevel.training.workers import Workers

# Steps in a row without a finite gradient after which going on is hopeless.
MOST_SKIPPED_IN_ROW = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """When the loop does what, in steps.

    Attributes:
        total_steps: length of the run.
        block_steps: steps between two reads of the host.
        checkpoint_every: steps between checkpoints; None for each epoch.
        patience: epochs without a better validation score before the end; None for no limit.
        batch_size: examples a step, for images/s.
    """

    total_steps: int
    block_steps: int
    checkpoint_every: int | None
    patience: int | None
    batch_size: int


class TrainingLoop:
    """Trains until the last step, the end of patience or a request to stop.

    Args:
        settings: when to do what.
        state: changed by `train_block`.
        progress: the run's course, updated here.
        train_block: runs the steps of a call of `feed` on the device.
        columns: names of what a step reports, in the order of `train_block`.
        feed: gives `train_block` its data.
        validate: step -> means of the validation split, or None if there is none.
        score: validation means -> how good they are, higher is better.
        checkpoints: where the state goes.
        summaries: for TensorBoard.
        reporter: for the user.
        workers: the processes that run this loop together.
        profile: which steps are profiled.
    """

    def __init__(
        self,
        *,
        settings: LoopSettings,
        state: TrainState,
        progress: Progress,
        train_block: TrainBlock,
        columns: tuple[str, ...],
        feed: Feed,
        validate: Callable[[int], dict[str, float]] | None,
        score: Callable[[Mapping[str, float]], float],
        checkpoints: RunCheckpoints,
        summaries: Summaries,
        reporter: Reporter,
        workers: Workers,
        profile: Profile,
    ) -> None:
        self._settings = settings
        self._state = state
        self._progress = progress
        self._train_block = train_block
        self._columns = columns
        self._feed = feed
        self._validate = validate
        self._score = score
        self._checkpoints = checkpoints
        self._summaries = summaries
        self._reporter = reporter
        self._workers = workers
        self._profile = profile

    def run(self, stop: StopRequest) -> bool:
        """Trains; returns when the run is over or `stop` was requested, with the state saved.

        Several workers stop together, at the end of a block.

        Args:
            stop: a request to this worker.

        Returns:
            whether it ended by the request to some worker.

        Raises:
            RunError: gradients stayed non-finite, or another worker was lost.
        """
        settings = self._settings
        step = saved = int(self._state.step.numpy())
        is_stopped = False
        while not (is_stopped or self.is_over(step)):
            end = self._next_event(step)
            self._profile.before(step)
            start = time.monotonic()
            rows = self._run_block(step, end - step, stop)
            seconds = time.monotonic() - start
            step += len(rows)
            self._profile.after(step)
            self._account(step, rows, seconds)
            if step % self._feed.steps_per_epoch == 0 or step == settings.total_steps:
                self._finish_epoch(step)
            if self._is_checkpoint(step):
                self._checkpoints.save()
                saved = step
            is_stopped = self._workers.any(stop)
        if step != saved:
            self._checkpoints.save()
        self._profile.close()
        self._summaries.flush()
        return is_stopped

    def is_over(self, step: int) -> bool:
        """Returns whether the run ends at `step`."""
        is_out_of_patience = self._progress.is_out_of_patience(self._settings.patience)
        return step >= self._settings.total_steps or is_out_of_patience

    def _next_event(self, step: int) -> int:
        """Returns the step at which the block that starts at `step` has to end."""
        settings = self._settings
        periods = [self._feed.steps_per_epoch]
        if settings.checkpoint_every is not None:
            periods.append(settings.checkpoint_every)
        events = [(step // period + 1) * period for period in periods]
        events += [event for event in self._profile.events if event > step]
        return min(step + settings.block_steps, settings.total_steps, *events)

    def _is_checkpoint(self, step: int) -> bool:
        return step % (self._settings.checkpoint_every or self._feed.steps_per_epoch) == 0

    def _run_block(self, step: int, steps: int, stop: StopRequest) -> np.ndarray:
        """Runs up to `steps` steps, fewer if asked to stop; returns their values [steps, K]."""
        calls = []
        for call in self._feed.calls(step, steps):
            calls.append((self._train_block(*call), int(call.steps)))
            if stop and self._workers.count == 1:
                break
        # The host's one read of the block.
        return np.concatenate([values.numpy()[:count] for values, count in calls])

    def _account(self, step: int, rows: np.ndarray, seconds: float) -> None:
        """Adds a block to the epoch and shows it."""
        progress = self._progress
        is_skipped_row = rows[:, self._columns.index("skipped")] > 0
        for row, is_skipped in zip(rows, is_skipped_row, strict=True):
            # One after another, so that the sums do not depend on where blocks begin. The terms of
            # a skipped step may not be finite: it counts as skipped and no more.
            counted = np.array(self._columns) == "skipped" if is_skipped else row
            progress.epoch_sums = progress.epoch_sums + counted
            progress.skipped_in_row = progress.skipped_in_row + 1 if is_skipped else 0
            if progress.skipped_in_row >= MOST_SKIPPED_IN_ROW:
                self._stop_diverged(step, row)
        progress.epoch_steps += len(rows)
        progress.epoch_seconds += seconds
        progress.seconds += seconds
        sums = rows[~is_skipped_row].sum(0, dtype=np.float64)
        means = self._means(sums, len(rows), int(is_skipped_row.sum()))
        images_per_second = len(rows) * self._settings.batch_size / seconds
        self._summaries.scalars("train", step, {**means, "images_per_second": images_per_second})
        self._reporter.block(step, means, images_per_second)

    def _means(self, sums: np.ndarray, steps: int, skipped: int) -> dict[str, float]:
        """Returns the means over the steps that were not skipped, and the part that was."""
        means = dict(zip(self._columns, (sums / max(steps - skipped, 1)).tolist(), strict=True))
        return {**means, "skipped": skipped / steps}

    def _stop_diverged(self, step: int, row: np.ndarray) -> None:
        values = ", ".join(
            f"{name} {value:.4g}" for name, value in zip(self._columns, row, strict=True)
        )
        raise RunError(
            f"{MOST_SKIPPED_IN_ROW} steps in a row gave gradients that are not finite; they were "
            f"skipped, but the model does not recover. A step of the block that ended at {step}: "
            f"{values}. Try a lower --learning_rate, --clip_norm=100, a larger --likelihood_scale "
            "or --precision=float32."
        )

    def _finish_epoch(self, step: int) -> None:
        """Validates, keeps the best weights, and decides about early stopping."""
        progress = self._progress
        epoch = -(-step // self._feed.steps_per_epoch)
        skipped = round(progress.epoch_sums[self._columns.index("skipped")])
        train = self._means(progress.epoch_sums, progress.epoch_steps, skipped)
        train["images_per_second"] = (
            progress.epoch_steps * self._settings.batch_size / progress.epoch_seconds
        )
        record: dict[str, Any] = {"epoch": epoch, "step": step, "train": train, "validation": {}}
        if self._validate is not None:
            record["validation"] = self._validate(step)
            self._summaries.scalars("validation", step, record["validation"])
        self._summaries.image_grids(step)
        record["seconds"] = progress.epoch_seconds
        if progress.history and progress.history[-1]["epoch"] == epoch:
            # A run that ended within this epoch was made longer.
            progress.history.pop()
        progress.history.append(record)

        score = self._score(record["validation"]) if record["validation"] else None
        if score is not None:
            # Measured by each worker alone; what follows from it must be the same on all.
            score = self._workers.share(score)[0]
        if score is None or progress.best_score is None or score > progress.best_score:
            progress.best_score, progress.best_epoch = score, epoch
            self._checkpoints.save_best()
        self._reporter.epoch(epoch, train, record["validation"], progress.epoch_seconds)
        if step % self._feed.steps_per_epoch == 0:
            progress.start_epoch()
