"""Saves and restores the full state of a run, and its best weights separately."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Model


class RunCheckpoints:
    """The full states of a run in one folder, the best weights alone in another.

    Args:
        full: folder of the full states.
        best: folder of the best weights.
        state: variables; all of them exist already, so that a restore can be checked to be whole.
        progress: the run's course, saved with them.
        max_to_keep: how many full states are kept.

    Attributes:
        progress: as given.
    """

    def __init__(
        self, full: str, best: str, state: TrainState, progress: Progress, max_to_keep: int
    ) -> None:
        self.progress = progress
        self._state = state
        self._full = tf.train.CheckpointManager(
            tf.train.Checkpoint(state=state, progress=progress), full, max_to_keep
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=state.evaluated_model), best, max_to_keep=1
        )

    def save(self) -> None:
        """Saves the full state, numbered by its step."""
        self._full.save(checkpoint_number=int(self._state.step.numpy()))

    def save_best(self) -> None:
        """Saves the weights as the best so far."""
        self._best.save(checkpoint_number=int(self._state.step.numpy()))


def latest_step(full: str) -> int:
    """Returns the step of the latest full state in a folder; -1 if there is none."""
    path = tf.train.latest_checkpoint(full)
    return -1 if path is None else int(path.rpartition("-")[2])


def restore_full(full: str, state: TrainState, progress: Progress) -> bool:
    """Restores the latest full state of a folder; returns whether there was one.

    Raises:
        RunError: the checkpoint is damaged or belongs to another model.
    """
    path = tf.train.latest_checkpoint(full)
    if path is None:
        return False
    try:
        tf.train.Checkpoint(state=state, progress=progress).restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, ValueError) as error:
        raise RunError(
            f"cannot restore {path}: {error}\nDelete this checkpoint and its entry in the file "
            "'checkpoint' to resume from an earlier one, or start again with --overwrite."
        ) from error
    return True


def restore_best(checkpoint: str, model: Model) -> None:
    """Restores saved best weights into a model.

    Args:
        checkpoint: prefix of the files.
        model: built as the one that was saved.

    Raises:
        RunError: the weights are damaged or belong to another model.
    """
    try:
        tf.train.Checkpoint(model=model).restore(checkpoint).assert_consumed()
    except (tf.errors.OpError, AssertionError, ValueError) as error:
        raise RunError(f"cannot restore {checkpoint}: {error}") from error
