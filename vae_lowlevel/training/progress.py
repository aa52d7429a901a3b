"""What a run knows of its own course, saved within each checkpoint."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import tensorflow as tf


class Progress(tf.train.experimental.PythonState):
    """The history and running sums of a run.

    They are part of the checkpoint, so that a run that stopped within an epoch reports the same
    epoch means as one that did not.

    Attributes:
        history: one record an epoch: `epoch`, `step`, `train` and `validation` terms, `seconds`.
        epoch_sums: float64 [terms], sums of the current epoch's step means.
        epoch_steps: steps in `epoch_sums`.
        epoch_seconds: training time in `epoch_sums`.
        skipped_in_row: latest steps without a break whose gradient was not finite.
        best_score: best validation score so far, higher is better (of a VAE the ELBO in nats); None
            before the first.
        best_epoch: the epoch it was reached in.
        seconds: training time in all sessions of the run.
    """

    def __init__(self, terms: int) -> None:
        self.history: list[dict[str, Any]] = []
        self.epoch_sums = np.zeros(terms)
        self.epoch_steps = 0
        self.epoch_seconds = 0.0
        self.skipped_in_row = 0
        self.best_score: float | None = None
        self.best_epoch = 0
        self.seconds = 0.0

    def start_epoch(self) -> None:
        """Empties the sums of the epoch."""
        self.epoch_sums = np.zeros_like(self.epoch_sums)
        self.epoch_steps = 0
        self.epoch_seconds = 0.0

    def is_out_of_patience(self, patience: int | None) -> bool:
        """Returns whether `patience` epochs passed without a better validation score."""
        if patience is None or not self.history:
            return False
        return self.history[-1]["epoch"] - self.best_epoch >= patience

    def serialize(self) -> str:
        """Returns the state as JSON; floats survive exactly."""
        # TensorFlow's own bookkeeping also lives in attributes; theirs begin with an underscore.
        state = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return json.dumps({**state, "epoch_sums": self.epoch_sums.tolist()})

    def deserialize(self, string_value: str) -> None:
        """Restores what `serialize` returned."""
        state = json.loads(string_value)
        vars(self).update(state, epoch_sums=np.array(state["epoch_sums"]))
