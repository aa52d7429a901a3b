"""Saves and restores the full state of a run, and the best weights beside it."""

from __future__ import annotations

import os

import tensorflow as tf

from vae_lowlevel.errors import RunError
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.state import TrainState


class RunCheckpoints:
    """`<model_dir>/ckpt`, the full state, and `<model_dir>/best`, the best weights alone.

    Args:
        model_dir: where they are written: the run folder, or a scratch folder of a worker whose
            copy is not kept.
        state: variables; all of them exist already, so that a restore can be checked to be whole.
        progress: the run's course, saved with them.
        max_to_keep: how many full states are kept.
        restore_from: the run folder, if it is another than `model_dir`.
    """

    def __init__(
        self,
        model_dir: str,
        state: TrainState,
        progress: Progress,
        max_to_keep: int,
        restore_from: str | None = None,
    ) -> None:
        self._state = state
        self._restore_from = os.path.join(restore_from or model_dir, "ckpt")
        self._full = tf.train.CheckpointManager(
            tf.train.Checkpoint(state=state, progress=progress),
            os.path.join(model_dir, "ckpt"),
            max_to_keep,
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=state.evaluated_model),
            os.path.join(model_dir, "best"),
            max_to_keep=1,
        )

    def save(self) -> None:
        """Saves the full state, numbered by its step."""
        self._full.save(checkpoint_number=int(self._state.step.numpy()))

    def save_best(self) -> None:
        """Saves the weights as the best so far."""
        self._best.save(checkpoint_number=int(self._state.step.numpy()))

    def latest_step(self) -> int:
        """Returns the step of the latest full state that can be restored; -1 if there is none."""
        path = tf.train.latest_checkpoint(self._restore_from)
        return -1 if path is None else int(path.rpartition("-")[2])

    def restore(self) -> bool:
        """Restores the latest full state; returns whether there was one.

        Raises:
            RunError: the checkpoint is damaged or belongs to another model.
        """
        path = tf.train.latest_checkpoint(self._restore_from)
        if path is None:
            return False
        try:
            self._full.checkpoint.restore(path).assert_consumed()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise RunError(
                f"cannot restore {path}: {error}\nDelete this checkpoint and its entry in the file "
                "'checkpoint' to go on from an earlier one, or start anew with --overwrite."
            ) from error
        return True


def find_best(model_dir: str) -> str:
    """Returns the checkpoint of the best weights of a run.

    Raises:
        RunError: there are none.
    """
    path = tf.train.latest_checkpoint(os.path.join(model_dir, "best"))
    if path is None:
        raise RunError(
            f"no weights in {os.path.join(model_dir, 'best')}: the run has not finished an epoch "
            "yet. Train it first: python -m vae_lowlevel.train "
            f"--flagfile={os.path.join(model_dir, 'flags.cfg')}"
        )
    return path


def restore_best(model_dir: str, model: tf.Module) -> str:
    """Restores the best weights of a run into a model and returns the checkpoint's path.

    Raises:
        RunError: there are none, or they belong to another model.
    """
    path = find_best(model_dir)
    try:
        tf.train.Checkpoint(model=model).restore(path).assert_consumed()
    except (tf.errors.OpError, AssertionError, ValueError) as error:
        raise RunError(f"cannot restore {path}: {error}") from error
    return path
