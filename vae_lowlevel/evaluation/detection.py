"""How well a score tells anomalies from normal examples, whatever the threshold.

Each measure is exact for the given scores, also where some are equal: examples of equal scores are
on the same side of every threshold.
"""

from __future__ import annotations

import numpy as np


def auroc(score: np.ndarray, is_anomaly: np.ndarray) -> float:
    """Computes the area under the receiver operating characteristic.

    It is the probability that a random anomaly has a higher score than a random normal example; a
    tie counts one half. By the rank statistic, with the mean rank of equal scores:

        (sum of the ranks of the anomalies - P (P + 1) / 2) / (P Q),

    P the number of anomalies and Q that of normal examples.

    Args:
        score: float [N], higher for anomalies; may be infinite.
        is_anomaly: bool [N], at least one of both kinds.

    Returns:
        In [0, 1]; 0.5 for a score that tells nothing, 0 for one of reversed order.

    Raises:
        ValueError: a score is NaN, or there is only one kind.

    Example:
        >>> auroc(np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True]))
        0.875

    References:
        Hanley, McNeil, "The Meaning and Use of the Area under a Receiver Operating Characteristic
        (ROC) Curve", 1982.
    """
    _check(score, is_anomaly)
    _, group, sizes = np.unique(score, return_inverse=True, return_counts=True)
    # Of 1 ... N: the last rank of a group is the number of examples up to it.
    mean_rank = np.cumsum(sizes) - (sizes - 1) / 2
    anomalies = int(np.sum(is_anomaly))
    rank_sum = np.sum(mean_rank[group[is_anomaly]])
    pairs = anomalies * (len(score) - anomalies)
    return float((rank_sum - anomalies * (anomalies + 1) / 2) / pairs)


def average_precision(score: np.ndarray, is_anomaly: np.ndarray) -> float:
    """Computes the area under the precision-recall curve as a sum of steps.

        sum_n (R_n - R_(n-1)) P_n

    over the thresholds from the highest score to the lowest, with precision P_n and recall R_n of
    the examples that score at least the threshold. It depends on the share of anomalies, which is
    its value for a score that tells nothing.

    Args:
        score: float [N], higher for anomalies; may be infinite.
        is_anomaly: bool [N], at least one of both kinds.

    Returns:
        In (0, 1].

    Raises:
        ValueError: a score is NaN, or there is only one kind.
    """
    true_positives, false_positives = _positives(score, is_anomaly)
    precision = true_positives / (true_positives + false_positives)
    recall = true_positives / true_positives[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def false_positive_rate(
    score: np.ndarray, is_anomaly: np.ndarray, true_positive_rate: float = 0.95
) -> float:
    """Computes the least part of the normal examples that is taken for anomalies.

    Args:
        score: float [N], higher for anomalies; may be infinite.
        is_anomaly: bool [N], at least one of both kinds.
        true_positive_rate: the part of the anomalies that must be found at least, in (0, 1].

    Returns:
        In [0, 1], at the highest threshold that finds this part.

    Raises:
        ValueError: a score is NaN, or there is only one kind.
    """
    true_positives, false_positives = _positives(score, is_anomaly)
    found = true_positives / true_positives[-1] >= true_positive_rate
    return float(false_positives[np.argmax(found)] / false_positives[-1])


def measure_detection(score: np.ndarray, is_anomaly: np.ndarray) -> dict[str, float]:
    """Returns `auroc`, `aupr` (average precision) and `fpr95` of a score; see there."""
    return {
        "auroc": auroc(score, is_anomaly),
        "aupr": average_precision(score, is_anomaly),
        "fpr95": false_positive_rate(score, is_anomaly, 0.95),
    }


def _positives(score: np.ndarray, is_anomaly: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns how many anomalies and normal examples score at least each threshold, int [T] each.

    The thresholds are the distinct scores, the highest first.
    """
    _check(score, is_anomaly)
    values, group = np.unique(score, return_inverse=True)
    counts = (np.bincount(group[kind], minlength=len(values)) for kind in (is_anomaly, ~is_anomaly))
    true_positives, false_positives = (np.cumsum(count[::-1]) for count in counts)
    return true_positives, false_positives


def _check(score: np.ndarray, is_anomaly: np.ndarray) -> None:
    if score.shape != is_anomaly.shape or score.ndim != 1 or is_anomaly.dtype != np.bool_:
        raise ValueError(
            f"expected scores [N] and bool [N], found {list(score.shape)} and {is_anomaly.dtype} "
            f"{list(is_anomaly.shape)}"
        )
    if np.any(np.isnan(score)):
        raise ValueError(f"expected scores that are numbers, found {np.sum(np.isnan(score))} NaN")
    if np.all(is_anomaly) or not np.any(is_anomaly):
        raise ValueError(
            f"expected anomalies and normal examples, found {np.sum(is_anomaly)} anomalies among "
            f"{len(score)}"
        )
