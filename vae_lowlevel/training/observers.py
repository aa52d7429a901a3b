"""What watches a run: the loop tells its observers of its beginning, blocks, epochs and end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import tensorflow as tf

from vae_lowlevel.errors import RunError, first_line


class Observer(Protocol):
    """Watches a run."""

    def begin(self, step: int) -> None:
        """Is called before the first block, at the step from which this session trains."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """Is called with the means of the block that ended at `step`.

        They include `images_per_second` and `skipped`, the part of the steps that were skipped;
        where all were, there are no means of terms.
        """

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Is called with `epoch`, `step`, `train` and `validation` means, `seconds` of an epoch."""

    def close(self) -> None:
        """Is called when this session ends, by an error too."""


@contextlib.contextmanager
def named_summaries(folder: str) -> Iterator[None]:
    """Turns what prevents TensorFlow from writing, such as a full disk, into one clear error.

    Args:
        folder: of the summaries, as the error names it.

    Raises:
        RunError: TensorFlow could not write.
    """
    try:
        yield
    except tf.errors.OpError as error:
        raise RunError(
            f"cannot write the summaries to {folder}: {first_line(error)}\nThe run is saved up to "
            "its latest checkpoint. Free some space or repair the folder, then give the same "
            "command: it resumes from there"
        ) from error
