"""Disentanglement: how well single latent dimensions represent single known factors of variation.

`measure_disentanglement` computes all scores. Those of a fixed set of images are in
`factor_matrix`; here are those from interventions, images drawn with one factor held fixed. Which
factor was held fixed must be recognisable from the representations of a group of images: these
scores are accuracies of classifiers on groups that they were not fitted to, about 1 / K by chance,
K the number of factors, and 1 at best. They do not fall if several dimensions encode one factor.

No model reaches 1 in every score if a factor cannot be read from the image. The orientation of an
ellipse repeats after half a turn and that of a square after a quarter turn, so an image of
`data.shapes` has several orientations. A dimension that has the least of them instead of the true
one, and perfect dimensions for all else, score: MIG 0.84 (shape 0.65, orientation 0.58, because the
least orientation also tells of the shape), SAP 0.71, DCI 0.85, 0.85 and 0.92, FactorVAE 0.93,
modularity and beta-VAE 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from vae_lowlevel.evaluation.factor_matrix import (
    FACTOR_BINS,
    dci_scores,
    discretize,
    modularity,
    mutual_information_gaps,
    separated_attribute_predictability,
)

# Ten for each bin of a factor. With fewer, mutual information is mostly bias.
LEAST_EXAMPLES = 10 * FACTOR_BINS

# factors float32 [M, K] -> representation float [M, D] of images with these factors
Represent = Callable[[np.ndarray], np.ndarray]

# Images that make one point of the classifier of FactorVAE, and pairs that make one of beta-VAE.
# The variance of 64 normal values has a standard error of 18 %.
GROUP_IMAGES, GROUP_PAIRS = 64, 32
# Points for the fit and points that are held out. A held-out accuracy near 0.8 has a standard error
# of 0.02, and all images together take about half a minute on two CPU cores.
FITTED_POINTS, HELD_OUT_POINTS = 800, 400


def measure_disentanglement(
    represent: Represent,
    representation: np.ndarray,
    factors: np.ndarray,
    factor_names: Sequence[str],
    discrete: Sequence[str],
    *,
    smallest_variance: float,
    seed: int,
) -> dict[str, float]:
    """Computes all scores of a model.

    A dimension of small variance carries no information about the image: the noise of its posterior
    covers it. Without the noise it may still follow a factor. Its values are therefore replaced by
    0, in all scores.

    Args:
        represent: factors float32 [M, K] -> representation float [M, D] of new images.
        representation: float [N, D], of the images of `factors`.
        factors: float32 [N, K]; new images have values from its columns.
        factor_names: K names.
        discrete: the names of those factors that are class indices. Each other one is divided into
            `FACTOR_BINS` equal-width bins where a score needs classes.
        smallest_variance: a dimension whose variance is not above it is replaced by 0.
        seed: of the new images and of the classifiers.

    Returns:
        `mig`, `sap`, `modularity`, `dci_disentanglement`, `dci_completeness`,
        `dci_informativeness`, `factor_vae`, `beta_vae`; and `mig_<factor>`, whose mean is `mig`.

    Raises:
        ValueError: a factor has the same value everywhere.
    """
    active = np.var(representation, axis=0, dtype=np.float64) > smallest_variance
    representation = np.where(active, representation, 0.0)
    is_discrete = np.isin(factor_names, discrete)
    codes = np.where(is_discrete, factors, discretize(factors, FACTOR_BINS)).astype(np.int64)
    gaps = mutual_information_gaps(representation, codes)
    return {
        "mig": float(gaps.mean()),
        "sap": separated_attribute_predictability(representation, factors, is_discrete),
        "modularity": modularity(representation, codes),
        **dci_scores(representation, codes, seed),
        **measure_interventions(
            lambda chosen: np.where(active, represent(chosen), 0.0),
            representation,
            factors,
            seed=seed,
        ),
        **{f"mig_{name}": float(gap) for name, gap in zip(factor_names, gaps, strict=True)},
    }


def measure_interventions(
    represent: Represent, representation: np.ndarray, factors: np.ndarray, *, seed: int
) -> dict[str, float]:
    """Draws images with one factor held fixed and computes the scores.

    Args:
        represent: see `Represent`.
        representation: float [N, D], of images that vary in all factors, for the scale of each
            dimension.
        factors: float32 [N, K]; each factor of a new image is drawn from its column.
        seed: of the factors.

    Returns:
        `factor_vae` and `beta_vae`.
    """
    random = np.random.default_rng(seed)
    scale = deviations(representation)
    points = FITTED_POINTS + HELD_OUT_POINTS

    def represent_groups(*group: int) -> tuple[np.ndarray, np.ndarray]:
        fixed = random.integers(factors.shape[1], size=points)
        chosen = hold_factor(draw_factors(factors, (points, *group), random), fixed)
        flat = represent(chosen.reshape(-1, factors.shape[1]))
        return flat.reshape(points, *group, -1), fixed

    return {
        "factor_vae": factor_vae_score(*represent_groups(GROUP_IMAGES), scale, FITTED_POINTS),
        "beta_vae": beta_vae_score(*represent_groups(GROUP_PAIRS, 2), FITTED_POINTS),
    }


def draw_factors(
    factors: np.ndarray, shape: tuple[int, ...], random: np.random.Generator
) -> np.ndarray:
    """Draws each factor independently from its column of [N, K]: [*shape, K]."""
    rows = random.integers(len(factors), size=(*shape, factors.shape[1]))
    return factors[rows, np.arange(factors.shape[1])]


def hold_factor(factors: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """Returns the factors with one of them equal within each group, that of its first row.

    Args:
        factors: [P, ..., G, K], groups of G rows.
        fixed: int [P], which of the K factors.
    """
    fixed = fixed.reshape(-1, *[1] * (factors.ndim - 1))
    is_fixed = np.arange(factors.shape[-1]) == fixed
    return np.where(is_fixed, factors[..., :1, :], factors)


def deviations(representation: np.ndarray) -> np.ndarray:
    """Returns the standard deviation of each column of [N, D], float64; exactly 0 if constant."""
    constant = np.ptp(representation, 0) == 0
    return np.where(constant, 0.0, np.std(representation, axis=0, dtype=np.float64))


def factor_vae_score(
    representation: np.ndarray, fixed: np.ndarray, scale: np.ndarray, fitted: int
) -> float:
    """Computes the score of FactorVAE, the accuracy of a majority vote.

    Each group is a vote of one dimension for the factor that was held fixed: of the dimension with
    the least variance, relative to its variance over all images. The classifier predicts, for each
    dimension, the factor with most votes.

    Args:
        representation: float [P, L, D]; the L images of a group share the value of one factor.
        fixed: int [P], which one.
        scale: float [D], standard deviations over images that vary in all factors; dimensions with
            0 are left out.
        fitted: number of groups, from the first on, that the classifier is fitted to.

    References:
        Kim, Mnih, "Disentangling by Factorising", 2018, sec. 4.
    """
    variance = np.var(representation, axis=1, dtype=np.float64)
    relative = variance / np.where(scale > 0, scale, 1.0) ** 2
    dimension = np.where(scale > 0, relative, np.inf).argmin(1)
    votes = np.zeros([len(scale), fixed.max() + 1], np.int64)
    np.add.at(votes, (dimension[:fitted], fixed[:fitted]), 1)
    return float(np.mean(votes.argmax(1)[dimension[fitted:]] == fixed[fitted:]))


def beta_vae_score(representation: np.ndarray, fixed: np.ndarray, fitted: int) -> float:
    """Computes the score of beta-VAE, the accuracy of a linear classifier of mean differences.

    A point of the classifier is 1/L sum_l |z_l - z'_l| over L pairs of images that share the value
    of one factor; another pair has another value. The classifier is a logistic regression. The
    differences are standardised, so that its regularisation does not depend on the scale of a
    dimension.

    Args:
        representation: float [P, L, 2, D].
        fixed: int [P], which factor the pairs of each point share; not all may be the same.
        fitted: number of points, from the first on, that the classifier is fitted to.

    References:
        Higgins et al., "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational
        Framework", 2017, sec. 3.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    difference = np.abs(representation[:, :, 0] - representation[:, :, 1]).mean(1)
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    classifier.fit(difference[:fitted], fixed[:fitted])
    return float(classifier.score(difference[fitted:], fixed[fitted:]))
