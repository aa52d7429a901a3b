"""The processes that train together, and what they must agree on."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from vae_lowlevel.errors import RunError


class Workers:
    """One process, or those of a cluster; worker 0, the chief, keeps what the run writes.

    Args:
        strategy: spans the devices of all of them.
        index: which of them this process is.
        count: how many there are.
    """

    def __init__(self, strategy: tf.distribute.Strategy, index: int = 0, count: int = 1) -> None:
        self.strategy = strategy
        self.index = index
        self.count = count
        self._gather = tf.function(self._sum_over_replicas, autograph=False)

    @property
    def is_chief(self) -> bool:
        """Whether this process keeps what the run writes."""
        return self.index == 0

    def share(self, value: float) -> list[float]:
        """Returns the value of every worker; all workers must call it at the same point."""
        if self.count == 1:
            return [value]
        own = tf.one_hot(self.index, self.count, dtype=tf.float64) * value
        sums = self._gather(own).numpy()
        return (sums * self.count / self.strategy.num_replicas_in_sync).tolist()

    def any(self, flag: object) -> bool:
        """Returns whether the flag of some worker is true."""
        return any(self.share(1.0 if flag else 0.0))

    def check_same(self, value: float, name: str, remedy: str) -> None:
        """Checks that all workers have the same value.

        Raises:
            RunError: the values differ; the message ends with `remedy`.
        """
        values = self.share(value)
        if len(set(values)) > 1:
            raise RunError(f"the workers find different values of {name}, {values}: {remedy}")

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """Turns the loss of a worker within its body into one clear error.

        Raises:
            RunError: a worker died or cannot be reached.
        """
        try:
            yield
        except (
            tf.errors.UnavailableError,
            tf.errors.AbortedError,
            tf.errors.CancelledError,
        ) as lost:
            if self.count == 1:
                raise
            raise RunError(
                f"worker {self.index} of {self.count} lost another one, so training stopped; the "
                "output of the other says why. Start all of them again with the same command to "
                "resume from the latest checkpoint. TensorFlow says: " + _reason(lost)
            ) from lost

    def _sum_over_replicas(self, value: tf.Tensor) -> tf.Tensor:
        values = self.strategy.run(lambda: tf.identity(value))
        return self.strategy.reduce("sum", values, axis=None)


def _reason(error: tf.errors.OpError) -> str:
    """Returns the line of TensorFlow's message that says what happened."""
    lines = [line.strip() for line in (error.message or "").splitlines()]
    told = [line for line in lines if line.startswith("Collective ops is aborted by")]
    return (told or [line for line in lines if line] or [type(error).__name__])[0]
