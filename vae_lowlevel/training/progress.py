"""What a run knows of its own course, saved within each checkpoint."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import RunError

# A loss above the first one by this factor is no effect of a schedule: the weights have diverged.
DIVERGED = 100.0

DIVERGED_REMEDY = (
    "Try a lower --learning_rate, --clip_norm=100, a larger --likelihood_scale or "
    "--precision=float32, with --overwrite or another --model_dir."
)


class Progress(tf.train.experimental.PythonState):
    """The history and running sums of a run.

    They are part of the checkpoint, so that a run that stopped within an epoch reports the same
    epoch means as one that did not.

    Args:
        columns: names of what a step reports; one is `skipped`.

    Attributes:
        columns: as given.
        history: one record per epoch: `epoch`, `step`, `train` and `validation` means, `seconds`.
        epoch_sums: float64 [columns], sums of the current epoch's steps.
        epoch_steps: steps in `epoch_sums`.
        epoch_seconds: training time in `epoch_sums`.
        first_loss: loss of the first step that was not skipped; None before it.
        skipped_in_row: how many of the latest steps had gradients that were not finite.
        best_score: best validation score so far, higher is better; None before the first.
        best_epoch: the epoch of the best weights.
        best_by: the criterion of `best_score`; None before the first.
        seconds: training time in all sessions of the run.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._columns = tuple(columns)
        self.history: list[dict[str, Any]] = []
        self.epoch_sums = np.zeros(len(self._columns))
        self.epoch_steps = 0
        self.epoch_seconds = 0.0
        self.first_loss: float | None = None
        self.skipped_in_row = 0
        self.best_score: float | None = None
        self.best_epoch = 0
        self.best_by: str | None = None
        self.seconds = 0.0

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of what a step reports."""
        return self._columns

    @property
    def best_step(self) -> int | None:
        """The step of the best weights; None before the first epoch."""
        steps = [record["step"] for record in self.history if record["epoch"] == self.best_epoch]
        return steps[0] if steps else None

    def add_step(self, row: np.ndarray) -> None:
        """Adds what a step reported, float32 [columns].

        One step after another, so that the sums do not depend on where blocks begin. The terms of a
        skipped step may not be finite: it counts as skipped and no more.
        """
        is_skipped = row[self._columns.index("skipped")] > 0
        counted = np.array(self._columns) == "skipped" if is_skipped else row
        self.epoch_sums = self.epoch_sums + counted
        self.epoch_steps += 1
        if self.first_loss is None and not is_skipped:
            self.first_loss = float(row[self._columns.index("loss")])
        self.skipped_in_row = self.skipped_in_row + 1 if is_skipped else 0

    def add_seconds(self, seconds: float) -> None:
        """Adds training time."""
        self.epoch_seconds += seconds
        self.seconds += seconds

    def epoch_means(self) -> dict[str, float]:
        """Returns the means of the current epoch, as `step_means` does."""
        return step_means(self._columns, self.epoch_sums, self.epoch_steps)

    def record_epoch(self, record: dict[str, Any]) -> None:
        """Appends an epoch's record, or replaces that of an epoch that was ended before."""
        if self.history and self.history[-1]["epoch"] == record["epoch"]:
            # A run that ended within this epoch was made longer.
            self.history.pop()
        self.history.append(record)

    def start_epoch(self) -> None:
        """Empties the sums of the epoch."""
        self.epoch_sums = np.zeros_like(self.epoch_sums)
        self.epoch_steps = 0
        self.epoch_seconds = 0.0

    def note_score(self, score: float | None, epoch: int) -> bool:
        """Returns whether the weights of an epoch are the best so far, and remembers it.

        A score that is not finite never beats one that is. Without any finite score so far, the
        latest weights are the best.

        Args:
            score: higher is better; None where there is no validation split, or where the epoch
                does not compare.
            epoch: whose weights they are.
        """
        is_number = score is not None and math.isfinite(score)
        is_best = self.best_score is None or (is_number and score > self.best_score)
        if is_best:
            self.best_score, self.best_epoch = (score if is_number else None), epoch
        return is_best

    def choose_by(
        self, criterion: str, score: Callable[[int, Mapping[str, float]], float | None]
    ) -> None:
        """Sets the criterion; where it is a new one, the best epoch so far is scored again."""
        if criterion == self.best_by:
            return
        self.best_by = criterion
        self.best_score = None
        for record in self.history:
            if record["epoch"] == self.best_epoch and record["validation"]:
                self.note_score(score(record["step"], record["validation"]), self.best_epoch)

    def is_out_of_patience(self, patience: int | None) -> bool:
        """Returns whether `patience` epochs passed without a better validation score."""
        if patience is None or not self.history:
            return False
        return self.history[-1]["epoch"] - self.best_epoch >= patience

    def check_trained(self) -> None:
        """Checks that the last epoch of a run trained the model.

        Raises:
            RunError: most of its steps were skipped, or its loss is not finite or far above that
                of the first step.
        """
        last = self.history[-1]["train"]
        loss, first = last.get("loss", math.nan), self.first_loss
        if last["skipped"] > 0.5:
            found = f"{last['skipped']:.0%} of the steps had gradients that are not finite"
        elif not math.isfinite(loss):
            found = f"the mean loss is {loss}"
        elif first is not None and loss > DIVERGED * max(1.0, abs(first)):
            found = f"the mean loss is {loss:.4g}, that of the first step was {first:.4g}"
        else:
            return
        raise RunError(
            f"training diverged: in epoch {self.history[-1]['epoch']}, the last, {found}. Nothing "
            f"was measured or exported. {DIVERGED_REMEDY}"
        )

    def serialize(self) -> str:
        """Returns the state as JSON; floats survive exactly."""
        # TensorFlow's own bookkeeping also lives in attributes; theirs begin with an underscore.
        state = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return json.dumps({**state, "epoch_sums": self.epoch_sums.tolist()})

    def deserialize(self, string_value: str) -> None:
        """Restores what `serialize` returned.

        Raises:
            ValueError: it has other columns, and stopped within an epoch.
        """
        state = json.loads(string_value)
        sums = np.array(state["epoch_sums"])
        if len(sums) != len(self._columns):
            if state["epoch_steps"]:
                raise ValueError(
                    f"expected running sums of {len(self._columns)} numbers, found {len(sums)}: an "
                    "earlier version of the package stopped this run within an epoch; let that "
                    "version finish the epoch"
                )
            sums = np.zeros(len(self._columns))
        vars(self).update(state, epoch_sums=sums)


def step_means(columns: Sequence[str], sums: np.ndarray, steps: int) -> dict[str, float]:
    """Returns means over the steps that were not skipped, and the part that was.

    Args:
        columns: names of what a step reports; one is `skipped`.
        sums: float64 [columns]; a skipped step adds 1 to `skipped` and nothing else.
        steps: how many steps they are of, at least 1.

    Returns:
        The mean of each column; `skipped` alone if all steps were skipped.
    """
    skipped = round(sums[list(columns).index("skipped")])
    part = {"skipped": skipped / steps}
    if skipped == steps:
        return part
    means = dict(zip(columns, (sums / (steps - skipped)).tolist(), strict=True))
    return {**means, **part}
