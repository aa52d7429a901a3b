"""What the KL of a VAE is made of: information about the image, correlation, distance from p(z)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.evaluation.metrics import active_units
from vae_lowlevel.evaluation.term_means import PaddedBatches
from vae_lowlevel.randomness import ALGORITHM, fold, make_seed
from vae_lowlevel.types import ConditionedVAE, Model, ProgressBar, stored_spec, to_unit

tfd = tfp.distributions

# z whose log p(z) is computed at once: a mixture compares each of them with each component.
PRIOR_ROWS = 1000

# Log-densities held at once, draws x images x dimensions: 32 MB, and as much again for what is
# computed from them.
MOST_DENSITIES = 2**23


class GaussianPosteriors(NamedTuple):
    """q(z|x_n) of N images.

    Attributes:
        loc: float32 [N, D], means.
        scale: float32 [N, D], standard deviations of z_1 ... z_D.
        scale_tril: L of the covariance L L^T, float32 [N, D, D]; None for a diagonal covariance.
        kl: KL(q(z_j|x_n) || p(z_j)) from the closed form, float32 [N, D], nats; of a full
            covariance the terms of the chain rule. None where p(z) is not a diagonal Gaussian.
    """

    loc: np.ndarray
    scale: np.ndarray
    scale_tril: np.ndarray | None = None
    kl: np.ndarray | None = None

    def sample(self, rows: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Draws z_s from q(z|x_n) with n = rows[s].

        Args:
            rows: int [S], in [0, N).
            noise: N(0, 1), float32 [S, D].

        Returns:
            z, float32 [S, D], and log q(z_s|x_n), float64 [S].
        """
        if self.scale_tril is None:
            scaled, diagonal = self.scale[rows] * noise, self.scale[rows]
        else:
            tril = self.scale_tril[rows]
            scaled = np.einsum("sij,sj->si", tril, noise)
            diagonal = np.diagonal(tril, axis1=1, axis2=2)
        return self.loc[rows] + scaled, np.sum(_log_normal(noise, diagonal), -1)

    def marginal_log_prob(self, rows: np.ndarray, z: np.ndarray) -> np.ndarray:
        """Computes log q(z_j|x_n) with n = rows[s] for z float32 [S, D], as float64 [S, D]."""
        scale = self.scale[rows]
        return _log_normal((z - self.loc[rows]) / scale, scale)


def _log_normal(standardised: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Computes log N(x; m, scale^2) from (x - m) / scale, elementwise, float64."""
    squared = np.square(standardised.astype(np.float64))
    return -0.5 * (squared + math.log(2.0 * math.pi)) - np.log(scale.astype(np.float64))


class AggregatePosterior:
    """q(z) = 1/N sum_n q(z|x_n) and its marginals q(z_j), with all N terms of each sum.

    Args:
        posteriors: the terms.
        most_densities: log-densities computed at once; memory grows with it. One draw needs N D.
    """

    def __init__(
        self, posteriors: GaussianPosteriors, *, most_densities: int = MOST_DENSITIES
    ) -> None:
        count, dimensions = posteriors.loc.shape
        self._rows = max(1, most_densities // (count * dimensions))
        # Images last: the sums over them are then over memory in order.
        self._loc = tf.constant(posteriors.loc.T)
        self._scale = tf.constant(posteriors.scale.T)
        self._tril = None if posteriors.scale_tril is None else tf.constant(posteriors.scale_tril)
        spec = tf.TensorSpec([self._rows, dimensions], tf.float32)
        self._log_probs = tf.function(
            self._compute_log_probs, input_signature=[spec], autograph=False
        )

    def log_prob(
        self, z: np.ndarray, progress: ProgressBar = iter
    ) -> tuple[np.ndarray, np.ndarray]:
        """Computes log q(z) and log q(z_j).

        Args:
            z: float32 [S, D].
            progress: see `types.ProgressBar`.

        Returns:
            log q(z), float64 [S], and log q(z_j), float64 [S, D], nats.
        """
        joint, marginal = [], []
        for first in progress(range(0, len(z), self._rows)):
            rows = np.minimum(np.arange(first, first + self._rows), len(z) - 1)
            log_probs = self._log_probs(z[rows])
            for values, log_prob in zip((joint, marginal), log_probs, strict=True):
                values.append(log_prob.numpy()[: len(z) - first].astype(np.float64))
        return np.concatenate(joint), np.concatenate(marginal)

    def _compute_log_probs(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        # float32 [S, D, N]. Differences, not products: these would lose narrow posteriors.
        difference = z[:, :, None] - self._loc
        squared = tf.math.square(difference / self._scale)
        log_density = -0.5 * (squared + math.log(2.0 * math.pi)) - tf.math.log(self._scale)
        if self._tril is None:
            log_joint = tf.reduce_sum(log_density, 1)
        else:
            # One triangular system per image, with the draws as its right-hand sides.
            noise = tf.linalg.triangular_solve(self._tril, tf.transpose(difference, [2, 1, 0]))
            squared = tf.math.square(noise) + math.log(2.0 * math.pi)
            log_det = tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self._tril)), -1)
            log_joint = tf.transpose(-0.5 * tf.reduce_sum(squared, 1) - log_det[:, None])
        log_count = math.log(self._loc.shape[1])
        return (
            tf.reduce_logsumexp(log_joint, -1) - log_count,
            tf.reduce_logsumexp(log_density, -1) - log_count,
        )


def measure_decomposition(
    model: Model,
    batches: PaddedBatches,
    *,
    batch_size: int,
    draws: int,
    seed: int,
    progress: ProgressBar = iter,
) -> dict[str, Any]:
    """Splits the mean KL(q(z|x) || p(z)) of N images into its parts.

        1/N sum_n KL(q(z|x_n) || p(z)) = I(x; z) + KL(q(z) || p(z)),
        KL(q(z) || p(z)) = KL(q(z) || prod_j q(z_j)) + sum_j KL(q(z_j) || p(z_j)).

    The second line needs a prior that is a product over dimensions: a diagonal Gaussian. The N
    images are taken as the whole distribution of x, so I(x; z) is at most log N. The parts are
    means over draws of z from q(z|x_n), of images in random order, each as often as any other up
    to one draw; q(z) has all N terms. A conditional model has q(z|x, y) with the label y of the
    image, and I is the information about both.

    Args:
        model: with Gaussian posteriors and a prior, in float32.
        batches: padded batches of the N images.
        batch_size: rows of every batch.
        draws: S, number of draws of z, at least 2.
        seed: of the draws.
        progress: see `types.ProgressBar`.

    Returns:
        In nats: `mutual_information`, I(x; z); `total_correlation`, KL(q(z) || prod_j q(z_j));
        `marginal_kl`, KL(q(z) || p(z)); `kl`, the mean of log q(z|x) - log p(z) over the same
        draws, which is `mutual_information` + `marginal_kl`; `rate`, the mean KL of all images,
        from the closed form where there is one and from a draw per image where not;
        `standard_errors` of all of these (0 for a closed form; if S is near N or above, they are
        larger than the true ones). `active_units`; `largest_correlation`, of two dimensions of
        q(z) by amount; `draws`; `examples`. `latents`: for each dimension I(x; z_j) as
        `mutual_information`, and `mean` and `std` of q(z_j). With a Gaussian prior also
        `dimension_kl`, sum_j KL(q(z_j) || p(z_j)), which is `marginal_kl` - `total_correlation`,
        and in `latents` its terms as `dimension_kl`, and `kl`, the mean of KL(q(z_j|x) || p(z_j))
        over all images from the closed form.

    References:
        Hoffman, Johnson, "ELBO surgery: yet another way to carve up the variational evidence lower
        bound", 2016, eq. 9 and 10.
        Chen et al., "Isolating Sources of Disentanglement in VAEs", 2018, eq. 2.
    """
    posteriors = encode_posteriors(model, batches, batch_size)
    aggregate = AggregatePosterior(posteriors)
    count, dimensions = posteriors.loc.shape
    seed = fold(make_seed(seed), "decomposition")
    keys = tf.random.stateless_uniform([count], fold(seed, "images"), alg=ALGORITHM).numpy()
    rows = np.resize(np.argsort(keys, kind="stable"), draws)
    z, log_q_x = posteriors.sample(rows, _normal([draws, dimensions], fold(seed, "draws")))
    log_q, log_q_j = aggregate.log_prob(z, progress)
    log_p = _prior_log_prob(model, z)
    samples = {
        "mutual_information": log_q_x - log_q,
        "total_correlation": log_q - log_q_j.sum(-1),
        "marginal_kl": log_q - log_p,
        "kl": log_q_x - log_p,
    }
    mutual = np.mean(posteriors.marginal_log_prob(rows, z) - log_q_j, 0)
    mean, std, largest = aggregate_moments(posteriors)
    units = {"mutual_information": mutual, "mean": mean, "std": std}
    if posteriors.kl is None:
        z, log_q_x = posteriors.sample(
            np.arange(count), _normal([count, dimensions], fold(seed, "rate"))
        )
        samples["rate"] = log_q_x - _prior_log_prob(model, z)
    else:
        prior = model.prior()
        dimension_kl = log_q_j - tfd.Normal(prior.mean(), prior.stddev()).log_prob(z).numpy()
        samples["dimension_kl"] = dimension_kl.sum(-1)
        units |= {"dimension_kl": dimension_kl.mean(0), "kl": posteriors.kl.mean(0, np.float64)}
    parts = {name: float(values.mean()) for name, values in samples.items()}
    errors = {name: _standard_error(values) for name, values in samples.items()}
    if posteriors.kl is not None:
        parts["rate"], errors["rate"] = float(units["kl"].sum()), 0.0
    return {
        **parts,
        "standard_errors": errors,
        "active_units": active_units(posteriors.loc),
        "largest_correlation": largest,
        "draws": draws,
        "examples": count,
        "latents": [
            {name: float(values[unit]) for name, values in units.items()}
            for unit in range(dimensions)
        ],
    }


def aggregate_moments(posteriors: GaussianPosteriors) -> tuple[np.ndarray, np.ndarray, float]:
    """Returns mean and standard deviation of q(z_j), float64 [D], and the largest correlation.

    The covariance of q(z) is the mean of the covariances of q(z|x_n) plus the covariance of their
    means. The correlation is that of two dimensions, by amount; 0 where D is 1.
    """
    loc, scale = posteriors.loc.astype(np.float64), posteriors.scale.astype(np.float64)
    covariance = np.atleast_2d(np.cov(loc, rowvar=False, ddof=0))
    if posteriors.scale_tril is None:
        covariance += np.diag(np.mean(np.square(scale), 0))
    else:
        tril = posteriors.scale_tril.astype(np.float64)
        covariance += np.einsum("nij,nkj->ik", tril, tril) / len(tril)
    std = np.sqrt(np.diag(covariance))
    correlation = covariance / np.outer(std, std)
    return loc.mean(0), std, float(np.abs(correlation - np.diag(np.diag(correlation))).max())


def encode_posteriors(model: Model, batches: PaddedBatches, batch_size: int) -> GaussianPosteriors:
    """Encodes images by a model with Gaussian posteriors; `batches` have `batch_size` rows each."""

    def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        conditioned: ConditionedVAE = model.conditioned_on(label)
        posterior = conditioned.encode(to_unit(image))
        values = {"loc": posterior.mean(), "scale": posterior.stddev()}
        if isinstance(posterior, tfd.MultivariateNormalTriL):
            values["scale_tril"] = posterior.scale.to_dense()
        if conditioned.has_closed_form_kl:
            values["kl"] = conditioned.kl_per_dimension(posterior)
        return values

    image = stored_spec(batch_size, model.image_shape)
    label = tf.TensorSpec([batch_size], tf.int32)
    encode = tf.function(encode, input_signature=[image, label], autograph=False)
    parts: dict[str, list[np.ndarray]] = {}
    for examples, mask in batches:
        for name, values in encode(examples.image, examples.label).items():
            parts.setdefault(name, []).append(values.numpy()[mask > 0])
    return GaussianPosteriors(**{name: np.concatenate(part) for name, part in parts.items()})


def _prior_log_prob(model: Model, z: np.ndarray) -> np.ndarray:
    """Computes log p(z) of float32 [S, D], as float64 [S]."""
    parts = [z[first : first + PRIOR_ROWS] for first in range(0, len(z), PRIOR_ROWS)]
    return np.concatenate([model.prior().log_prob(part).numpy() for part in parts], dtype="float64")


def _normal(shape: list[int], seed: tf.Tensor) -> np.ndarray:
    return tf.random.stateless_normal(shape, seed, alg=ALGORITHM).numpy()


def _standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0
