"""The host's side of training: when to run a block, validate, save and stop."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint import RunCheckpoints
from vae_lowlevel.training.feed import Feed
from vae_lowlevel.training.observers import Observer
from vae_lowlevel.training.progress import DIVERGED_REMEDY, step_means
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.training.step import TrainBlock
from vae_lowlevel.training.workers import Workers

# Steps in a row without a finite gradient after which the model will not recover.
MOST_SKIPPED_IN_ROW = 20


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """When the loop does what, in steps.

    Attributes:
        total_steps: length of the run.
        block_steps: steps between two reads of the host.
        checkpoint_every: steps between checkpoints; None for each epoch.
        patience: epochs without a better validation score before the end; None for no limit.
        batch_size: examples per step, for images/s.
        block_ends: further steps at which a block has to end.
    """

    total_steps: int
    block_steps: int
    checkpoint_every: int | None
    patience: int | None
    batch_size: int
    block_ends: tuple[int, ...] = ()


class Trainer(NamedTuple):
    """What runs the steps.

    Attributes:
        state: changed by `train_block`.
        feed: supplies `train_block` with data.
        train_block: runs the steps of a call of `feed` on the device.
        report: means of a step's columns -> those and what is derived from them.
    """

    state: TrainState
    feed: Feed
    train_block: TrainBlock
    report: Callable[[Mapping[str, float]], dict[str, float]]


class Validation(NamedTuple):
    """How an epoch is judged.

    Attributes:
        measure: step -> means of the validation split.
        score: (step, means) -> how good the weights are, higher is better; None where the epoch
            does not compare.
    """

    measure: Callable[[int], dict[str, float]]
    score: Callable[[int, Mapping[str, float]], float | None]


class TrainingLoop:
    """Trains until the last step, the end of patience or a request to stop.

    Args:
        settings: when to do what.
        trainer: runs the steps.
        validation: judges each epoch; None if there is no validation split.
        checkpoints: saves the state, and the progress that the loop records.
        workers: the processes that run this loop together.
        observers: told of each block and epoch.
    """

    def __init__(
        self,
        settings: LoopSettings,
        trainer: Trainer,
        validation: Validation | None,
        checkpoints: RunCheckpoints,
        workers: Workers,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._settings = settings
        self._trainer = trainer
        self._validation = validation
        self._checkpoints = checkpoints
        self._progress = checkpoints.progress
        self._workers = workers
        self._observers = tuple(observers)
        self._epoch_steps = trainer.feed.steps_per_epoch

    def run(self, is_asked_to_stop: Callable[[], bool]) -> bool:
        """Trains; returns when the run is over or a stop was requested, with the state saved.

        Several workers stop together, at the end of a block.

        Args:
            is_asked_to_stop: returns whether this worker received a request to stop.

        Returns:
            Whether it ended by the request to some worker.

        Raises:
            RunError: gradients stayed non-finite, or another worker was lost.
        """
        step = saved = int(self._trainer.state.step.numpy())
        is_stopped = False
        try:
            for observer in self._observers:
                observer.begin(step)
            while not (is_stopped or self._is_over(step)):
                step = self._train_block(step, is_asked_to_stop)
                if step % self._epoch_steps == 0 or step == self._settings.total_steps:
                    self._finish_epoch(step)
                if step % (self._settings.checkpoint_every or self._epoch_steps) == 0:
                    self._checkpoints.save()
                    saved = step
                is_stopped = self._workers.any(is_asked_to_stop())
            if step != saved:
                self._checkpoints.save()
        finally:
            for observer in self._observers:
                observer.close()
        return is_stopped

    def _is_over(self, step: int) -> bool:
        is_out_of_patience = self._progress.is_out_of_patience(self._settings.patience)
        return step >= self._settings.total_steps or is_out_of_patience

    def _next_end(self, step: int) -> int:
        """Returns the step at which the block that starts at `step` has to end."""
        settings = self._settings
        periods = [self._epoch_steps]
        if settings.checkpoint_every is not None:
            periods.append(settings.checkpoint_every)
        ends = [(step // period + 1) * period for period in periods]
        ends += [end for end in settings.block_ends if end > step]
        return min(step + settings.block_steps, settings.total_steps, *ends)

    def _train_block(self, step: int, is_asked_to_stop: Callable[[], bool]) -> int:
        """Trains one block, fewer steps if asked to stop; returns the step that it ended at."""
        start = time.monotonic()
        calls = []
        for call in self._trainer.feed.calls(step, self._next_end(step) - step):
            # Traced here and not by the call: TensorFlow counts the calls of all train blocks
            # together and would warn of retracing after the fifth short run of a process.
            if not calls:
                self._trainer.train_block.get_concrete_function(*call)
            calls.append((self._trainer.train_block(*call), int(call.steps)))
            if self._workers.count == 1 and is_asked_to_stop():
                break
        # The host's one read of the block.
        rows = np.concatenate([values.numpy()[:count] for values, count in calls])
        seconds = time.monotonic() - start
        step += len(rows)
        columns = self._progress.columns
        for row in rows:
            self._progress.add_step(row)
            if self._progress.skipped_in_row >= MOST_SKIPPED_IN_ROW:
                raise _diverged(step, columns, row)
        self._progress.add_seconds(seconds)
        is_skipped = rows[:, columns.index("skipped")] > 0
        sums = rows[~is_skipped].sum(0, dtype=np.float64)
        sums[columns.index("skipped")] = is_skipped.sum()
        means = self._with_speed(step_means(columns, sums, len(rows)), len(rows), seconds)
        for observer in self._observers:
            observer.block(step, means)
        return step

    def _finish_epoch(self, step: int) -> None:
        """Validates, and keeps the weights if they are the best so far."""
        progress = self._progress
        epoch = -(-step // self._epoch_steps)
        train = progress.epoch_means()
        train = self._with_speed(train, progress.epoch_steps, progress.epoch_seconds)
        validation = {} if self._validation is None else self._validation.measure(step)
        record = {"epoch": epoch, "step": step, "train": train, "validation": validation}
        progress.record_epoch({**record, "seconds": progress.epoch_seconds})
        score = None
        if self._validation is not None:
            score = self._validation.score(step, validation)
        if score is not None:
            # Measured by each worker alone; what follows from it must be the same on all.
            score = self._workers.share(score)[0]
        if progress.note_score(score, epoch):
            self._checkpoints.save_best()
        for observer in self._observers:
            observer.epoch(progress.history[-1])
        if step % self._epoch_steps == 0:
            progress.start_epoch()

    def _with_speed(self, means: dict[str, float], steps: int, seconds: float) -> dict[str, float]:
        images_per_second = steps * self._settings.batch_size / seconds
        return {**self._trainer.report(means), "images_per_second": images_per_second}


def _diverged(step: int, columns: Sequence[str], row: np.ndarray) -> RunError:
    values = ", ".join(f"{name} {value:.4g}" for name, value in zip(columns, row, strict=True))
    return RunError(
        f"{MOST_SKIPPED_IN_ROW} steps in a row had gradients that are not finite; they were "
        f"skipped, but the model does not recover. A step of the block that ended at {step}: "
        f"{values}. {DIVERGED_REMEDY}"
    )
