"""A profile of some steps, for TensorBoard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from vae_lowlevel.training.observers import named_summaries


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
            with named_summaries(self._folder):
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
            with named_summaries(self._folder):
                tf.profiler.experimental.stop()
