"""Detection measures against scikit-learn, counting by hand and limiting cases."""

import numpy as np
import pytest
from sklearn import metrics

from vae_lowlevel.evaluation.detection import (
    auroc,
    average_precision,
    false_positive_rate,
    measure_detection,
)


def sklearn_false_positive_rate(is_anomaly, score, wanted):
    rates, found, _ = metrics.roc_curve(is_anomaly, score, drop_intermediate=False)
    return rates[found >= wanted].min()


@pytest.mark.parametrize("levels", [2, 5, 10**6], ids="{} levels".format)
@pytest.mark.parametrize("seed", range(5))
def test_measures_are_those_of_scikit_learn_with_ties_and_without(levels, seed):
    rng = np.random.default_rng(seed)
    is_anomaly = rng.random(157) < 0.3
    score = np.round(levels * (rng.random(157) + 0.3 * is_anomaly)).astype(np.float32)
    assert auroc(score, is_anomaly) == pytest.approx(metrics.roc_auc_score(is_anomaly, score))
    precision = average_precision(score, is_anomaly)
    assert precision == pytest.approx(metrics.average_precision_score(is_anomaly, score))
    for wanted in (0.05, 0.5, 0.95, 1.0):
        found = false_positive_rate(score, is_anomaly, wanted)
        assert found == pytest.approx(sklearn_false_positive_rate(is_anomaly, score, wanted))


def test_auroc_is_the_part_of_pairs_in_order():
    rng = np.random.default_rng(0)
    score, is_anomaly = rng.integers(0, 6, 40).astype(float), rng.random(40) < 0.5
    difference = score[is_anomaly][:, None] - score[~is_anomaly]
    pairs = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert auroc(score, is_anomaly) == pytest.approx(pairs, rel=1e-12)


def test_perfect_reversed_and_constant_scores():
    is_anomaly = np.arange(10) >= 6
    order = np.arange(10.0)
    assert measure_detection(order, is_anomaly) == {"auroc": 1.0, "aupr": 1.0, "fpr95": 0.0}
    reverse = measure_detection(-order, is_anomaly)
    # Found after all six normal ones, at places 7 to 10.
    precision = np.mean([1 / 7, 2 / 8, 3 / 9, 4 / 10])
    assert reverse == {"auroc": 0.0, "aupr": pytest.approx(precision), "fpr95": 1.0}
    constant = measure_detection(np.zeros(10), is_anomaly)
    assert constant == {"auroc": 0.5, "aupr": pytest.approx(0.4), "fpr95": 1.0}


def test_a_tie_of_both_kinds_is_on_one_side_of_every_threshold():
    score = np.array([3.0, 2.0, 2.0, 2.0, 1.0, 0.0])
    is_anomaly = np.array([True, True, False, False, True, False])
    # Pairs in order: 3 of 3, of the tie 1 + 2 / 2, 1 of 3.
    assert auroc(score, is_anomaly) == pytest.approx((3 + 2 + 1) / 9)
    assert average_precision(score, is_anomaly) == pytest.approx((1 / 1 + 2 / 4 + 3 / 5) / 3)
    assert false_positive_rate(score, is_anomaly, 0.6) == pytest.approx(2 / 3)
    assert false_positive_rate(score, is_anomaly, 1 / 3) == 0.0


def test_the_order_of_the_examples_does_not_matter():
    rng = np.random.default_rng(1)
    score, is_anomaly = rng.integers(0, 9, 50).astype(float), rng.random(50) < 0.4
    order = rng.permutation(50)
    assert measure_detection(score, is_anomaly) == measure_detection(
        score[order], is_anomaly[order]
    )


def test_infinite_scores_are_the_highest():
    score, is_anomaly = np.array([-np.inf, 0.0, 1.0, np.inf]), np.array([False, False, True, True])
    assert measure_detection(score, is_anomaly)["auroc"] == 1.0


@pytest.mark.parametrize(
    ("score", "is_anomaly", "message"),
    [
        ([0.0, np.nan], [True, False], "found 1 NaN"),
        ([0.0, 1.0], [True, True], "found 2 anomalies among 2"),
        ([0.0, 1.0], [False, False], "found 0 anomalies among 2"),
        ([0.0, 1.0], [0, 1], r"found \[2\] and int64"),
        ([0.0], [True, False], r"found \[1\] and bool \[2\]"),
    ],
)
@pytest.mark.parametrize("measure", [auroc, average_precision, false_positive_rate])
def test_other_input_is_refused(measure, score, is_anomaly, message):
    with pytest.raises(ValueError, match=message):
        measure(np.array(score), np.array(is_anomaly))
