"""The checkpoints in a folder: saved durably, found and verified from their files alone."""

from __future__ import annotations

import os
import re

import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.errors import RunError, first_line

# TensorFlow's file of the latest checkpoints. It is written for TensorFlow's own tools.
_STATE_FILE = "checkpoint"
# Where a checkpoint is written.
_UNFINISHED = "unfinished"
_FILE = re.compile(r"ckpt-(\d+)\.(index|data-\d+-of-\d+)")
_LEFTOVER = re.compile(
    rf"{_UNFINISHED}|ckpt-\d+_temp|{_STATE_FILE}\.tmp.*|.*\.tempstate\d+|.*{re.escape(files.PARTIAL)}"
)


class CheckpointFiles:
    """The checkpoints `ckpt-<step>` in a folder.

    A checkpoint is written in a folder of its own. Its index is moved out of there last, whole and
    stored durably: from then on the checkpoint exists. The state file of TensorFlow is not trusted:
    it may be missing or damaged while checkpoints are sound.

    Args:
        folder: where they are; need not exist.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._unfinished = os.path.join(folder, _UNFINISHED)

    def prefix(self, step: int) -> str:
        """Returns the common beginning of the files of a checkpoint."""
        return os.path.join(self._folder, f"ckpt-{step}")

    def steps(self) -> list[int]:
        """Returns the step of each checkpoint that was saved, sound or not, oldest first.

        Raises:
            OSError: the folder, or the state file, cannot be read.
        """
        files_of = self._files_by_step()
        named = self._named_steps() if files_of else set()
        return sorted(
            step
            for step, names in files_of.items()
            if step in named or any(name.endswith(".index") for name in names)
        )

    def newest_sound(self) -> tuple[int | None, dict[int, str]]:
        """Returns the step of the newest checkpoint that can be read whole; None without one.

        Returns:
            The step, and what is wrong with each newer checkpoint, by step.

        Raises:
            OSError: a file cannot be read, which does not say that it is damaged.
        """
        damage = {}
        for step in reversed(self.steps()):
            found = self.damage(step)
            if found is None:
                return step, damage
            damage[step] = found
        return None, damage

    def damage(self, step: int) -> str | None:
        """Returns what is wrong with a checkpoint: None if TensorFlow's checksums all agree.

        Raises:
            OSError: a file cannot be read.
        """
        prefix = self.prefix(step)
        names = self._files_by_step().get(step, [])
        for name in names:
            path = os.path.join(self._folder, name)
            if files.is_folder(path):
                return f"{path} is a folder"
            files.check_readable(path)
        if not any(name.endswith(".index") for name in names):
            return f"{prefix}.index is missing"
        try:
            reader = tf.compat.v1.train.NewCheckpointReader(prefix)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)
        except (tf.errors.OpError, IndexError, ValueError, RuntimeError) as error:
            return f"{prefix}: {first_line(error)}"
        return None

    def save(self, checkpoint: tf.train.Checkpoint, step: int, max_to_keep: int) -> None:
        """Saves a checkpoint durably; only then deletes those that are no longer kept.

        Args:
            checkpoint: what to save.
            step: its number.
            max_to_keep: how many checkpoints stay, this one included.

        Raises:
            RunError: it cannot be written; the earlier checkpoints stay.
        """
        prefix, parent = self.prefix(step), os.path.dirname(self._folder)
        if not files.is_remote(parent) and not os.path.isdir(parent):
            raise RunError(f"cannot save {prefix}: {parent} was deleted or moved during the run")
        try:
            files.make_folder(self._folder)
            tf.io.gfile.makedirs(self._unfinished)  # Need not outlive a loss of power.
            checkpoint.write(os.path.join(self._unfinished, f"ckpt-{step}"))
            # Sorted: the data first, the index last.
            for name in sorted(filter(_FILE.fullmatch, files.list_folder(self._unfinished))):
                path = os.path.join(self._unfinished, name)
                files.sync(path)
                files.rename(path, os.path.join(self._folder, name))
            files.sync(self._folder)
            files.delete(self._unfinished)
            self._keep(step, max_to_keep)
        except (OSError, tf.errors.OpError) as error:
            raise RunError(
                f"cannot save {prefix}: {first_line(error)}\nThe checkpoints before it are whole. "
                "Free some space or repair the folder, then give the same command: it resumes from "
                "them."
            ) from error

    def set_aside(self, step: int) -> None:
        """Renames the files of a damaged checkpoint, so that it is no longer used, yet kept."""
        for name in self._files_by_step()[step]:
            files.set_aside(os.path.join(self._folder, name))

    def tidy(self, max_to_keep: int) -> None:
        """Does what a killed process did not come to: deletes old and unfinished checkpoints."""
        steps = self.steps()
        for step in set(self._files_by_step()) - set(steps):
            self._delete(step)
        for name in self._names():
            if _LEFTOVER.fullmatch(name):
                files.delete(os.path.join(self._folder, name))
        if steps:
            self._keep(steps[-1], max_to_keep)

    def _keep(self, step: int, max_to_keep: int) -> None:
        """Names the newest checkpoints in the state file and deletes the others."""
        others = [other for other in self.steps() if other != step]
        kept = [*others[max(0, len(others) - max_to_keep + 1) :], step]
        self._write_state_file(kept)
        for other in set(others) - set(kept):
            self._delete(other)

    def _names(self) -> list[str]:
        return files.list_folder(self._folder) if files.is_folder(self._folder) else []

    def _files_by_step(self) -> dict[int, list[str]]:
        """Returns the names of the files of each step, the index first."""
        found: dict[int, list[str]] = {}
        for name in sorted(self._names(), reverse=True):
            match = _FILE.fullmatch(name)
            if match:
                found.setdefault(int(match[1]), []).append(name)
        return found

    def _named_steps(self) -> set[int]:
        """Returns the steps that the state file names, as far as it can be understood."""
        path = os.path.join(self._folder, _STATE_FILE)
        if not files.is_file(path):
            return set()
        return {int(step) for step in re.findall(rb'ckpt-(\d+)"', files.read(path))}

    def _write_state_file(self, steps: list[int]) -> None:
        lines = [f'model_checkpoint_path: "ckpt-{steps[-1]}"']
        lines += [f'all_model_checkpoint_paths: "ckpt-{step}"' for step in steps]
        path = os.path.join(self._folder, _STATE_FILE)
        if files.is_folder(path):
            files.set_aside(path)
        files.write(path, ("\n".join(lines) + "\n").encode())

    def _delete(self, step: int) -> None:
        # The index first: without it, the rest is no checkpoint.
        for name in self._files_by_step()[step]:
            files.delete(os.path.join(self._folder, name))
