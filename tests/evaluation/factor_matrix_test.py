"""Scores of representations made by hand, whose values are known."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score

from vae_lowlevel.evaluation.factor_matrix import (
    completeness,
    dci_scores,
    discretize,
    disentanglement,
    modularity,
    mutual_information,
    mutual_information_gaps,
    separated_attribute_predictability,
    threshold_accuracy,
)

LEVELS = (4, 4, 3)
# Every combination equally often: the factors are exactly independent.
CODES = np.array([*itertools.product(*map(range, LEVELS))] * 12)
CONTINUOUS = np.zeros(3, bool)
PERFECT = CODES.astype(np.float32)
RESCALED = PERFECT[:, [2, 0, 1]] * np.float32([-3, 0.01, 100]) + np.float32(5)
ROTATED = PERFECT @ np.array([[1, 1, 0], [1, -1, 0], [0, 0, math.sqrt(2)]]) / math.sqrt(2)
DUPLICATED = PERFECT[:, [0, 1, 2, 0]]
COLLAPSED = np.full([len(CODES), 3], 0.1, np.float32)


def sap(representation, factors=CODES, is_discrete=CONTINUOUS):
    return separated_attribute_predictability(representation, factors, is_discrete)


@pytest.mark.parametrize("representation", [PERFECT, RESCALED], ids=["perfect", "rescaled"])
def test_one_dimension_per_factor_is_perfect(representation):
    np.testing.assert_allclose(mutual_information_gaps(representation, CODES), 1, rtol=1e-12)
    assert modularity(representation, CODES) == pytest.approx(1)
    assert sap(representation) == pytest.approx(1)
    for value in dci_scores(representation, CODES, 0).values():
        assert value == pytest.approx(1, abs=1e-6)


def test_a_turn_by_45_degrees_leaves_no_gap_for_the_two_factors():
    np.testing.assert_allclose(mutual_information_gaps(ROTATED, CODES), [0, 0, 1], atol=1e-12)
    # Two dimensions share their information between two of the three factors: 1 - 1/2 each.
    assert modularity(ROTATED, CODES) == pytest.approx((0.5 + 0.5 + 1) / 3)
    assert sap(ROTATED) == pytest.approx(1 / 3)
    # Each of two rows of the importances is about (1/2, 1/2, 0), and so is each column.
    scores = dci_scores(ROTATED, CODES, 0)
    expected = (2 * (1 - math.log(2) / math.log(3)) + 1) / 3
    assert scores["dci_disentanglement"] == pytest.approx(expected, abs=0.02)
    assert scores["dci_completeness"] == pytest.approx(expected, abs=0.02)
    assert scores["dci_informativeness"] > 0.95


def test_a_second_dimension_for_a_factor_leaves_no_gap_but_stays_modular():
    np.testing.assert_allclose(mutual_information_gaps(DUPLICATED, CODES), [0, 1, 1], atol=1e-12)
    assert sap(DUPLICATED) == pytest.approx(2 / 3)
    assert modularity(DUPLICATED, CODES) == pytest.approx(1)
    scores = dci_scores(DUPLICATED, CODES, 0)
    assert scores["dci_disentanglement"] == pytest.approx(1, abs=1e-6)
    # Trees use either of the two, in some proportion: half and half would be 1 - log(2) / log(4).
    assert 2.5 / 3 - 1e-6 <= scores["dci_completeness"] < 0.95


def test_noise_says_nothing():
    noise = np.random.default_rng(0).normal(size=[len(CODES) * 10, 3])
    codes = np.tile(CODES, [10, 1])
    assert np.all(mutual_information_gaps(noise, codes) < 0.01)
    assert sap(noise, codes) < 0.002
    informativeness = dci_scores(noise[:2000], codes[:2000], 0)["dci_informativeness"]
    assert informativeness == pytest.approx((1 / 4 + 1 / 4 + 1 / 3) / 3, abs=0.05)


def test_a_constant_representation_has_no_scores():
    assert not mutual_information_gaps(COLLAPSED, CODES).any()
    assert modularity(COLLAPSED, CODES) == 0
    assert sap(COLLAPSED, is_discrete=np.array([True, False, False])) == 0
    scores = dci_scores(COLLAPSED, CODES, 0)
    assert scores["dci_disentanglement"] == scores["dci_completeness"] == 0
    assert scores["dci_informativeness"] == pytest.approx((1 / 4 + 1 / 4 + 1 / 3) / 3, abs=0.05)


def test_constant_dimensions_do_not_change_modularity():
    with_constants = np.concatenate([ROTATED, COLLAPSED], 1)
    assert modularity(with_constants, CODES) == pytest.approx(modularity(ROTATED, CODES))


def test_the_gap_of_eight_images_by_hand():
    codes = np.array([[0, 0, 0, 0, 1, 1, 1, 1]]).T
    three_of_four = [0.0, 0, 0, 9, 9, 9, 9, 0]
    independent = [1.0, 1, 2, 2, 1, 1, 2, 2]
    # I = H(v) - H(v | z) = 1 - h(1/4) bits, and H(v) is 1 bit.
    information = 1 + 0.25 * math.log2(0.25) + 0.75 * math.log2(0.75)
    representation = np.array([independent, three_of_four]).T
    assert mutual_information_gaps(representation, codes) == pytest.approx([information])
    # Alone, a dimension has nothing to be compared with.
    assert mutual_information_gaps(representation[:, 1:], codes) == pytest.approx([information])


def test_gaps_and_modularity_are_those_of_scikit_learns_mutual_information():
    random = np.random.default_rng(1)
    codes = np.stack([random.integers(0, 3, 300), random.integers(2, 7, 300)], 1)
    representation = codes @ random.normal(size=[2, 4]) + random.normal(size=[300, 4])
    bins = discretize(representation, 20)
    matrix = np.array([[mutual_info_score(a, b) for b in codes.T] for a in bins.T])
    np.testing.assert_allclose(mutual_information(bins, codes), matrix, rtol=1e-10)
    entropy = [stats.entropy(np.bincount(column)) for column in codes.T]
    ranked = np.sort(matrix, 0)
    np.testing.assert_allclose(
        mutual_information_gaps(representation, codes), (ranked[-1] - ranked[-2]) / entropy
    )
    deviations = (matrix.min(1) / matrix.max(1)) ** 2  # Of two factors, one is not the largest.
    assert modularity(representation, codes) == pytest.approx(1 - deviations.mean())


def test_a_factor_without_variation_is_refused():
    codes = CODES.copy()
    codes[:, 1] = 2
    with pytest.raises(ValueError, match="factor 1 must have at least two values"):
        mutual_information_gaps(PERFECT, codes)


def test_bins_have_equal_width_and_the_largest_value_is_in_the_last():
    values = np.array([[0, 0.049, 0.051, 0.949, 0.951, 1], [7] * 6]).T
    expected = np.array([[0, 0, 1, 18, 19, 19], [0] * 6]).T
    np.testing.assert_array_equal(discretize(values, 20), expected)
    np.testing.assert_array_equal(discretize(-100 * values[:, :1], 20), 19 - expected[:, :1])


def test_the_scores_of_continuous_factors_are_those_of_linear_regressions():
    random = np.random.default_rng(2)
    factors = random.uniform(size=[200, 2])
    representation = factors @ random.normal(size=[2, 3]) + 0.3 * random.normal(size=[200, 3])
    scores = np.array(
        [
            [LinearRegression().fit(z[:, None], v).score(z[:, None], v) for v in factors.T]
            for z in representation.T
        ]
    )
    ranked = np.sort(scores, 0)
    expected = np.mean(ranked[-1] - ranked[-2])
    assert expected > 0.1
    assert sap(representation, factors, np.zeros(2, bool)) == pytest.approx(expected)


def test_the_part_of_a_discrete_factor_is_what_it_has_above_chance():
    is_discrete = np.array([False, False, True])
    assert sap(PERFECT, is_discrete=is_discrete) == pytest.approx((1 + 1 + (1 - 1 / 3)) / 3)


def test_a_constant_dimension_has_less_than_chance():
    only_kind = np.concatenate([PERFECT[:, 2:], COLLAPSED], 1)
    assert sap(only_kind, CODES[:, 2:], np.array([True])) == pytest.approx(1)
    # Noise in its place has about the accuracy of chance.
    noise = np.random.default_rng(0).normal(size=[len(CODES), 1])
    with_noise = np.concatenate([PERFECT[:, 2:], noise], 1)
    assert sap(with_noise, CODES[:, 2:], np.array([True])) == pytest.approx(1 - 1 / 3, abs=0.08)


def balanced_accuracy(labels, predicted):
    return np.mean([np.mean(predicted[labels == label] == label) for label in range(3)])


def test_thresholds_are_the_best_of_all():
    random = np.random.default_rng(3)
    for _ in range(5):
        values, labels = random.integers(0, 7, 15), random.integers(0, 3, 15)
        cuts = np.unique(values)[1:] - 0.5
        best = max(
            balanced_accuracy(labels, np.take(classes, np.digitize(values, pair)))
            for pair in itertools.combinations(cuts, 2)
            for classes in itertools.product(range(3), repeat=3)
        )
        assert best < 1
        assert threshold_accuracy(values / 3, labels + 4) == pytest.approx(best)


def test_two_classes_have_one_threshold():
    assert threshold_accuracy(np.array([0, 1, 2]), np.array([5, 6, 5])) == pytest.approx(0.75)
    assert threshold_accuracy(np.array([1, 1, 1]), np.array([5, 6, 5])) == pytest.approx(0.5)


def test_entropies_of_an_importance_matrix_by_hand():
    importance = np.array([[0.5, 0.25], [0.5, 0.25], [0, 0.5], [0, 0]])
    row = 1 + (2 * math.log2(2 / 3) + math.log2(1 / 3)) / 3  # of (2/3, 1/3), base 2
    # Rows weigh 0.75, 0.75 and 0.5 of 2. The column of 1/2, 1/4, 1/4 has 1.5 of 2 bits.
    assert disentanglement(importance) == pytest.approx((1.5 * row + 0.5) / 2)
    assert completeness(importance) == pytest.approx((0.5 + 0.25) / 2)
    assert disentanglement(importance[:, :1]) == completeness(importance[:1]) == 1
