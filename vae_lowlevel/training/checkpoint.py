"""Saves and restores the full state of a run, and its best weights separately."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.checkpoint_files import CheckpointFiles
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.state import TrainState
from vae_lowlevel.types import Model


class RunCheckpoints:
    """The full states of a run in one folder, the best weights alone in another.

    Args:
        full: folder of the full states that are written.
        best: folder of the best weights that are written.
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
        self._max_to_keep = max_to_keep
        self._full_files, self._best_files = CheckpointFiles(full), CheckpointFiles(best)
        self._full = tf.train.Checkpoint(state=state, progress=progress)
        self._best = tf.train.Checkpoint(model=state.evaluated_model)
        for checkpoint in (self._full, self._best):
            # Creates the variable, which is part of every checkpoint that TensorFlow restores.
            _ = checkpoint.save_counter

    def save(self) -> None:
        """Saves the full state, numbered by its step.

        Raises:
            RunError: it cannot be written.
        """
        self._full_files.save(self._full, int(self._state.step.numpy()), self._max_to_keep)

    def save_best(self) -> None:
        """Saves the weights as the best so far.

        Raises:
            RunError: they cannot be written.
        """
        self._best_files.save(self._best, int(self._state.step.numpy()), max_to_keep=1)

    def restore(self, prefix: str) -> None:
        """Restores a full state.

        Args:
            prefix: of its files, in any folder.

        Raises:
            RunError: the checkpoint belongs to another model.
        """
        _restore(self._full, prefix, "Start again with --overwrite, or use another --model_dir.")


def restore_best(prefix: str, model: Model) -> None:
    """Restores saved best weights into a model.

    Args:
        prefix: of the files.
        model: built as the one that was saved.

    Raises:
        RunError: the weights belong to another model.
    """
    _restore(tf.train.Checkpoint(model=model), prefix, "")


def _restore(checkpoint: tf.train.Checkpoint, prefix: str, remedy: str) -> None:
    try:
        checkpoint.restore(prefix).assert_consumed()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        raise RunError(f"cannot restore {prefix}: {error}\n{remedy}".rstrip()) from error
