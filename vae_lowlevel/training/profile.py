"""Profiles some steps for TensorBoard."""

from __future__ import annotations

import os

import tensorflow as tf


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
