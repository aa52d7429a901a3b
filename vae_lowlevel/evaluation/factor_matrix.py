"""Disentanglement scores from a matrix [D, K]: how much each dimension tells of each factor.

A representation is float [N, D], one z per image. `factors` are float [N, K], the factors of
variation of the images, and `codes` are the same divided into classes, integers from 0. The factors
are independent of each other. Every score is 0 at worst and 1 at best unless it says otherwise, and
does not change if dimensions change places or scales.
"""

from __future__ import annotations

import numpy as np

# Equal-width bins between the least and the largest value. The cells of the two histograms of N
# images bias a mutual information by about 19 * 9 / 2N nats.
LATENT_BINS = 20
FACTOR_BINS = 10
# Trees per class, their depth and the step of the boosting. A factor that one dimension encodes is
# then predicted almost without errors, and ten classes of 2,500 images cost 3 s on one core.
TREES, TREE_DEPTH, TREE_RATE = 20, 3, 0.3
MOST_TREE_EXAMPLES = 5000  # the time of the trees grows with it
TREE_TRAINING_PART = 0.75  # the rest measures informativeness


def discretize(values: np.ndarray, bins: int) -> np.ndarray:
    """Returns the number of the equal-width bin of each value, int64 [N, A] in [0, bins).

    Args:
        values: float [N, A]. The bins of a column lie between its least and its largest value; all
            of a constant column is in bin 0.
        bins: how many.
    """
    values = np.asarray(values, np.float64)
    low, width = values.min(0), np.ptp(values, 0)
    place = bins * (values - low) / np.where(width > 0, width, 1.0)
    return np.minimum(place.astype(np.int64), bins - 1)


def mutual_information(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Computes I(a; b) = sum p(a, b) log(p(a, b) / (p(a) p(b))) of the empirical frequencies.

    Args:
        first: codes, int [N, A], not negative.
        second: codes, int [N, B], not negative.

    Returns:
        float64 [A, B], nats.
    """
    result = np.zeros([first.shape[1], second.shape[1]])
    for place in np.ndindex(*result.shape):
        a, b = first[:, place[0]], second[:, place[1]]
        shape = (a.max() + 1, b.max() + 1)
        joint = np.bincount(a * shape[1] + b, minlength=shape[0] * shape[1]).reshape(shape) / len(a)
        independent = joint.sum(1, keepdims=True) * joint.sum(0)
        seen = joint > 0
        result[place] = np.sum(joint[seen] * np.log(joint[seen] / independent[seen]))
    return result


def mutual_information_gaps(representation: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """Computes the terms of MIG: (largest - second largest I(z_j; v_k) over j) / H(v_k).

    The paper integrates over q(z|x). Here z is the representation, in `LATENT_BINS` bins. With one
    dimension the second largest is 0.

    Args:
        representation: float [N, D].
        codes: classes of the factors, int [N, K].

    Returns:
        float64 [K]; MIG is their mean.

    Raises:
        ValueError: a factor has one class only, so that H(v_k) = 0.

    References:
        Chen, Li, Grosse, Duvenaud, "Isolating Sources of Disentanglement in VAEs", 2018, eq. 6.
    """
    entropy = np.array([mutual_information(column, column)[0, 0] for column in codes.T[:, :, None]])
    if not entropy.all():
        raise ValueError(f"factor {entropy.argmin()} must have at least two values, found one")
    return _gaps(mutual_information(discretize(representation, LATENT_BINS), codes)) / entropy


def _gaps(scores: np.ndarray) -> np.ndarray:
    """Returns the largest minus the second largest of each column of [D, K], none below 0."""
    ranked = np.sort(np.pad(scores, [(1, 0), (0, 0)]), axis=0)
    return ranked[-1] - ranked[-2]


def modularity(representation: np.ndarray, codes: np.ndarray) -> float:
    """Computes the mean over dimensions of 1 - sum_{k != k*} m_jk^2 / (m_jk*^2 (K - 1)).

    m_jk = I(z_j; v_k) with `LATENT_BINS` bins, and k* is the factor with the largest. Dimensions
    that share no information with any factor have no such quotient; they are left out, and the
    score is 0 if all are. A dimension of noise scores neither 0 nor 1, because of the bias of m.

    Args:
        representation: float [N, D].
        codes: classes of the factors, int [N, K], K at least 2.

    References:
        Ridgeway, Mozer, "Learning Deep Disentangled Embeddings with the F-Statistic Loss", 2018,
        sec. 3.
    """
    squares = mutual_information(discretize(representation, LATENT_BINS), codes) ** 2
    largest = squares.max(1)
    # Exactly independent codes have rounding errors for their information.
    informative = largest > 1e-20
    if not informative.any():
        return 0.0
    squares, largest = squares[informative], largest[informative]
    others = squares.sum(1) - largest
    return float(np.mean(1 - others / (largest * (squares.shape[1] - 1))))


def separated_attribute_predictability(
    representation: np.ndarray, factors: np.ndarray, is_discrete: np.ndarray
) -> float:
    """Computes SAP: the mean over factors of the largest minus the second largest score of z_j.

    The score of a continuous factor is R^2 of its linear regression on z_j. That of a discrete one
    is the accuracy of `threshold_accuracy`, which is 1 / C by chance, so that its part of SAP is at
    most 1 - 1 / C. All images serve for the fit and for the score. A constant dimension scores 0.

    Args:
        representation: float [N, D].
        factors: float [N, K].
        is_discrete: bool [K], whether a factor has class indices.

    References:
        Kumar, Sattigeri, Balakrishnan, "Variational Inference of Disentangled Latent Concepts from
        Unlabeled Observations", 2018, sec. 3.
    """
    z, v = np.asarray(representation, np.float64), np.asarray(factors, np.float64)
    varies, v_varies = np.ptp(z, 0) > 0, np.ptp(v, 0) > 0
    z = (z - z.mean(0)) / np.where(varies, z.std(0), np.inf)
    v = (v - v.mean(0)) / np.where(v_varies, v.std(0), np.inf)
    scores = (z.T @ v / len(z)) ** 2
    for j, k in np.argwhere(varies[:, None] & is_discrete):
        scores[j, k] = threshold_accuracy(z[:, j], factors[:, k])
    return float(_gaps(scores).mean())


def threshold_accuracy(values: np.ndarray, labels: np.ndarray) -> float:
    """Computes the balanced accuracy of the best classifier with at most C - 1 thresholds.

    It divides the line into at most C intervals and predicts one of the C classes in each. The
    accuracy is the mean over classes of the part of their values that are predicted right.

    Args:
        values: float [N].
        labels: [N], C different ones.
    """
    classes, codes = np.unique(labels, return_inverse=True)
    points, places = np.unique(values, return_inverse=True)
    right = np.zeros([len(points), len(classes)])
    np.add.at(right, (places, codes), 1 / (len(classes) * np.bincount(codes)[codes]))
    # best[t, c]: up to some point, with at most t thresholds so far, and class c predicted there.
    best = np.zeros([len(classes), len(classes)])
    for row in right:
        best[1:] = np.maximum(best[1:], best[:-1].max(1, keepdims=True))
        best += row
    return float(best.max())


def dci_scores(representation: np.ndarray, codes: np.ndarray, seed: int) -> dict[str, float]:
    """Computes DCI: disentanglement, completeness and informativeness.

    A classifier of gradient boosted trees predicts each factor from the representation. Its feature
    importances, a sum of 1 per factor, are the importance matrix. Informativeness is the mean
    accuracy on images that the trees were not fitted to; the paper has the error of continuous
    predictions. At most `MOST_TREE_EXAMPLES` images are used, drawn at random.

    Args:
        representation: float [N, D].
        codes: classes of the factors, int [N, K].
        seed: of the choice of images and of the trees.

    Returns:
        `dci_disentanglement`, `dci_completeness` and `dci_informativeness`. The last is the
        frequency of the most frequent class if the representation has no information.

    References:
        Eastwood, Williams, "A Framework for the Quantitative Evaluation of Disentangled
        Representations", 2018, sec. 2.
    """
    from sklearn.ensemble import GradientBoostingClassifier

    rows = np.random.default_rng(seed).permutation(len(codes))[:MOST_TREE_EXAMPLES]
    fitted, held_out = np.split(rows, [int(TREE_TRAINING_PART * len(rows))])
    importance, accuracy = np.zeros([representation.shape[1], codes.shape[1]]), []
    for k, column in enumerate(codes.T):
        trees = GradientBoostingClassifier(
            n_estimators=TREES, max_depth=TREE_DEPTH, learning_rate=TREE_RATE, random_state=seed
        )
        trees.fit(representation[fitted], column[fitted])
        importance[:, k] = trees.feature_importances_
        accuracy.append(trees.score(representation[held_out], column[held_out]))
    return {
        "dci_disentanglement": disentanglement(importance),
        "dci_completeness": completeness(importance),
        "dci_informativeness": float(np.mean(accuracy)),
    }


def disentanglement(importance: np.ndarray) -> float:
    """Computes sum_j rho_j (1 - H_K(P_j)) for importances float [D, K].

    P_j are the importances of dimension j for the K factors, divided by their sum; H_K is their
    entropy with logarithms to base K; rho_j is that sum divided by the sum of all importances.
    """
    weights = importance.sum(1)
    return float(weights @ _concentration(importance) / max(weights.sum(), 1e-12))


def completeness(importance: np.ndarray) -> float:
    """Computes the mean over factors k of 1 - H_D(P_k), for importances float [D, K].

    P_k are the importances of the D dimensions for factor k, divided by their sum.
    """
    return float(_concentration(importance.T).mean())


def _concentration(weights: np.ndarray) -> np.ndarray:
    """Returns 1 - entropy to base B of each row of [A, B] divided by its sum; 0 of a zero row."""
    total = weights.sum(1, keepdims=True)
    part = weights / np.where(total > 0, total, 1.0)
    entropy = -np.sum(part * np.log(np.where(part > 0, part, 1.0)), 1)
    return np.where(total[:, 0] > 0, 1 - entropy / np.log(max(2, weights.shape[1])), 0.0)
