"""The course of a run as plain lists, and callbacks that follow it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

# (epoch from 1, metrics by name), called after each epoch.
EpochCallback = Callable[[int, dict[str, float]], None]


def epoch_metrics(record: Mapping[str, Any]) -> dict[str, float]:
    """Returns the metrics of an epoch by name: `loss` of training, `val_loss` of validation.

    Args:
        record: `train` and `validation` means by name, and `seconds`.
    """
    validation = {f"val_{name}": value for name, value in record["validation"].items()}
    return {**record["train"], **validation, "seconds": record["seconds"]}


def collect_history(records: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Returns one list per metric, a value per epoch; NaN where an epoch does not have the metric.

    Args:
        records: of a run's epochs, in order.

    Example:
        >>> means = {"train": {"loss": 3.0}, "validation": {"loss": 4.0}, "seconds": 1.5}
        >>> collect_history([{"epoch": 1, **means}])
        {'epoch': [1], 'loss': [3.0], 'val_loss': [4.0], 'seconds': [1.5]}
    """
    epochs = [epoch_metrics(record) for record in records]
    names = dict.fromkeys(name for metrics in epochs for name in metrics)
    lists = {name: [metrics.get(name, math.nan) for metrics in epochs] for name in names}
    return {"epoch": [record["epoch"] for record in records], **lists}


class EpochCallbacks:
    """An observer of training that calls functions after each epoch.

    Args:
        callbacks: are called in this order; an error ends the training, as an error of its own.
    """

    def __init__(self, callbacks: Sequence[EpochCallback]) -> None:
        self._callbacks = callbacks

    def begin(self, step: int) -> None:
        """See `Observer.begin`."""

    def block(self, step: int, means: Mapping[str, float]) -> None:
        """See `Observer.block`."""

    def epoch(self, record: Mapping[str, Any]) -> None:
        """Calls each function with the epoch's number and metrics."""
        for callback in self._callbacks:
            callback(record["epoch"], epoch_metrics(record))

    def close(self) -> None:
        """See `Observer.close`."""
