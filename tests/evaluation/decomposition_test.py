"""The parts of the KL against closed forms, hand-made cases and a double loop over images."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.distributions.priors import MixturePrior, StandardPrior
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.decomposition import (
    AggregatePosterior,
    GaussianPosteriors,
    measure_decomposition,
)
from vae_lowlevel.experiment.evaluating import INSTRUMENTS, Subject, evaluate_run
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.types import Dataset, Examples, to_unit

tfd = tfp.distributions
LOG2 = math.log(2.0)


class TableHead:
    """q(z|x) from a table: the number of an image is its first pixel + 256 x its second."""

    is_gaussian = True

    def __init__(self, loc, scale):
        self.loc, self.scale = tf.constant(loc, tf.float32), tf.constant(scale, tf.float32)

    def __call__(self, image):
        pixels = tf.cast(tf.round(255.0 * image[:, :, 0, 0]), tf.int32)
        number = pixels[:, 0] + 256 * pixels[:, 1]
        loc, scale = tf.gather(self.loc, number), tf.gather(self.scale, number)
        kind = tfd.MultivariateNormalDiag if scale.shape.rank == 2 else tfd.MultivariateNormalTriL
        return kind(loc, scale)


def decompose(loc, scale, prior=None, draws=2000, batch_size=512, seed=0):
    """Measures posteriors N(loc[n], scale[n]), scale [N, D], or lower triangular [N, D, D]."""
    count, dimensions = np.shape(loc)
    model = VariationalAutoencoder(
        image_shape=(2, 1, 1),
        latent_dim=dimensions,
        encoder=lambda image: image,
        posterior=TableHead(loc, np.broadcast_to(scale, (count, *np.shape(scale)[1:]))),
        prior=prior or StandardPrior(dimensions),
        decoder=lambda z: z,
        likelihood=lambda parameters: parameters,
    )
    numbers = np.arange(count)
    image = np.stack([numbers % 256, numbers // 256], -1).astype(np.uint8).reshape(-1, 2, 1, 1)
    batches = padded_batches(Examples(image, np.full(count, -1, np.int32)), batch_size)
    return measure_decomposition(model, batches, batch_size=batch_size, draws=draws, seed=seed)


def random_posteriors(count, dimensions, is_full, seed=0):
    rng = np.random.default_rng(seed)
    loc = rng.normal(size=[count, dimensions])
    scale = rng.uniform(0.2, 0.9, [count, dimensions])
    if is_full:
        scale = np.tril(rng.normal(size=[count, dimensions, dimensions]), -1) + np.stack(
            [np.diag(row) for row in scale]
        )
    return loc.astype(np.float32), scale.astype(np.float32)


def test_a_collapsed_posterior_has_nothing_in_any_part():
    parts = decompose(np.zeros([9, 3]), np.ones([1, 3]), draws=500, batch_size=100)
    names = ("mutual_information", "total_correlation", "dimension_kl", "marginal_kl", "kl")
    for name in (*names, "rate", "active_units", "largest_correlation"):
        assert parts[name] == pytest.approx(0.0, abs=2e-6), name
    for unit in parts["latents"]:
        expected = {"kl": 0, "mutual_information": 0, "dimension_kl": 0, "mean": 0, "std": 1}
        assert unit == pytest.approx(expected, abs=2e-6)


def test_images_told_apart_without_doubt_give_the_logarithm_of_their_number():
    loc = np.stack([np.arange(50.0), np.arange(50.0) % 7], -1)
    # Fewer draws than images, and more.
    for draws in (20, 130):
        parts = decompose(loc, np.full([1, 2], 0.01), draws=draws)
        assert parts["mutual_information"] == pytest.approx(math.log(50), abs=1e-4)
        assert parts["standard_errors"]["mutual_information"] < 1e-4
        assert (parts["draws"], parts["examples"]) == (draws, 50)
    assert parts["active_units"] == 2
    assert parts["latents"][0]["mutual_information"] == pytest.approx(math.log(50), abs=1e-4)


@pytest.mark.parametrize(
    ("corners", "mutual_information", "total_correlation", "correlation"),
    [
        ([[1, 1], [1, -1], [-1, 1], [-1, -1]], 2 * LOG2, 0.0, 0.0),  # independent
        ([[1, 1], [-1, -1]], LOG2, LOG2, 1.0),  # the same twice
        # The third is the product of the others: pairs are independent, all three are not.
        ([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], 2 * LOG2, LOG2, 0.0),
    ],
)
def test_signs_that_are_known_exactly(corners, mutual_information, total_correlation, correlation):
    parts = decompose(corners, np.full([1, len(corners[0])], 0.01), draws=40)
    assert parts["mutual_information"] == pytest.approx(mutual_information, abs=1e-4)
    assert parts["total_correlation"] == pytest.approx(total_correlation, abs=1e-4)
    assert parts["largest_correlation"] == pytest.approx(correlation, abs=1e-3)
    for unit in parts["latents"]:
        assert unit["mutual_information"] == pytest.approx(LOG2, abs=1e-4)
        assert (unit["mean"], unit["std"]) == pytest.approx((0.0, math.sqrt(1.0001)), abs=1e-5)


@pytest.mark.parametrize("is_full", [False, True])
def test_a_linear_gaussian_encoder_has_the_closed_form(is_full):
    """z = A x + noise with x of N(0, I): q(z) is about N(0, A A^T + L L^T)."""
    rng = np.random.default_rng(3)
    maps = np.array([[1.0, 0.0], [0.9, 0.5]])
    noise = np.array([[0.7, 0.0], [-0.6, 0.8]]) if is_full else np.diag([0.7, 0.8])
    x = rng.normal(size=[2000, 2])
    x = np.linalg.solve(np.linalg.cholesky(np.cov(x.T, ddof=0)), (x - x.mean(0)).T).T
    scale = noise if is_full else np.diag(noise)
    parts = decompose(x @ maps.T, scale[None], draws=4000)
    covariance = maps @ maps.T + noise @ noise.T
    log_det, variance = np.linalg.slogdet(covariance)[1], np.diag(covariance)
    expected = {
        "mutual_information": 0.5 * log_det - np.log(np.diag(noise)).sum(),
        "total_correlation": 0.5 * (np.log(variance).sum() - log_det),
        "dimension_kl": 0.5 * np.sum(variance - np.log(variance) - 1.0),
    }
    for name, value in expected.items():
        error = parts["standard_errors"][name]
        assert error < 0.03
        # A little more, because the images are finitely many.
        assert parts[name] == pytest.approx(value, abs=4.0 * error + 0.01), name
    assert [unit["std"] for unit in parts["latents"]] == pytest.approx(np.sqrt(variance), rel=1e-5)
    correlation = abs(covariance[0, 1]) / math.sqrt(variance.prod())
    assert parts["largest_correlation"] == pytest.approx(correlation, rel=1e-5)
    unit = parts["latents"][1]
    marginal = 0.5 * math.log(variance[1] / np.sum(noise[1] ** 2))
    assert unit["mutual_information"] == pytest.approx(marginal, abs=0.05)


@pytest.mark.parametrize("is_full", [False, True])
@pytest.mark.parametrize("most_densities", [1, 70, 10_000])
def test_densities_are_those_of_a_double_loop(is_full, most_densities):
    loc, scale = random_posteriors(6, 3, is_full)
    tril = scale if is_full else np.stack([np.diag(row) for row in scale])
    covariance = tril @ np.swapaxes(tril, 1, 2)
    std = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    # The last z is far from all: each of its densities is below the smallest of float32.
    z = np.concatenate([np.random.default_rng(1).normal(size=[10, 3]), [[30.0, -40.0, 50.0]]])
    joint, marginal = np.zeros([11]), np.zeros([11, 3])
    for s in range(11):
        terms = [stats.multivariate_normal(loc[n], covariance[n]).logpdf(z[s]) for n in range(6)]
        joint[s] = np.logaddexp.reduce(terms) - math.log(6)
        for j in range(3):
            terms = [stats.norm(loc[n, j], std[n, j]).logpdf(z[s, j]) for n in range(6)]
            marginal[s, j] = np.logaddexp.reduce(terms) - math.log(6)
    posteriors = GaussianPosteriors(loc, std.astype(np.float32), scale if is_full else None)
    aggregate = AggregatePosterior(posteriors, most_densities=most_densities)
    log_q, log_q_j = aggregate.log_prob(z.astype(np.float32))
    np.testing.assert_allclose(log_q, joint, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(log_q_j, marginal, rtol=1e-5, atol=1e-5)
    assert joint[-1] < -200


@pytest.mark.parametrize("is_full", [False, True])
def test_draws_have_the_density_of_their_posterior(is_full):
    loc, scale = random_posteriors(4, 3, is_full)
    tril = scale if is_full else np.stack([np.diag(row) for row in scale])
    covariance = tril @ np.swapaxes(tril, 1, 2)
    std = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    posteriors = GaussianPosteriors(loc, std.astype(np.float32), scale if is_full else None)
    rows = np.arange(40_000) % 4
    noise = np.random.default_rng(2).normal(size=[40_000, 3]).astype(np.float32)
    z, log_prob = posteriors.sample(rows, noise)
    for n in range(4):
        own = rows == n
        expected = stats.multivariate_normal(loc[n], covariance[n]).logpdf(z[own])
        np.testing.assert_allclose(log_prob[own], expected, atol=1e-4)
        expected = stats.norm(loc[n], std[n]).logpdf(z[own])
        found = posteriors.marginal_log_prob(rows[own], z[own])
        np.testing.assert_allclose(found, expected, atol=1e-4)
        np.testing.assert_allclose(np.cov(z[own].T), covariance[n], atol=0.15)


@pytest.mark.parametrize("is_full", [False, True])
def test_the_parts_add_up_to_the_rate(is_full):
    loc, scale = random_posteriors(300, 3, is_full)
    parts = decompose(loc, scale, draws=3000, batch_size=256)
    pieces = parts["mutual_information"] + parts["total_correlation"] + parts["dimension_kl"]
    assert parts["kl"] == pytest.approx(pieces, abs=1e-5)
    assert parts["marginal_kl"] == pytest.approx(pieces - parts["mutual_information"], abs=1e-5)
    tril = scale if is_full else np.stack([np.diag(row) for row in scale])
    trace = np.sum(np.square(tril), (1, 2)) + np.sum(np.square(loc), 1)
    exact = 0.5 * (trace - 3.0) - np.log(np.diagonal(tril, axis1=1, axis2=2)).sum(1)
    assert parts["rate"] == pytest.approx(np.mean(exact), rel=1e-5)
    assert parts["standard_errors"]["rate"] == 0.0
    assert abs(parts["kl"] - parts["rate"]) < 4.0 * parts["standard_errors"]["kl"]
    assert sum(unit["kl"] for unit in parts["latents"]) == pytest.approx(parts["rate"])
    total = sum(unit["dimension_kl"] for unit in parts["latents"])
    assert total == pytest.approx(parts["dimension_kl"])
    if not is_full:
        for unit in parts["latents"]:
            both = unit["mutual_information"] + unit["dimension_kl"]
            assert both == pytest.approx(unit["kl"], abs=0.1)


def test_standard_errors_are_those_of_a_mean_over_draws():
    """log q(z|x) - log p(z) = m . noise + m^2 / 2 for q(z|x) = N(m, I): of deviation |m|."""
    parts = decompose(np.tile([[3.0, 4.0]], [10, 1]), np.ones([1, 2]), draws=4000)
    assert parts["standard_errors"]["kl"] == pytest.approx(5.0 / math.sqrt(4000), rel=0.05)
    assert parts["rate"] == pytest.approx(12.5)
    assert abs(parts["kl"] - 12.5) < 4.0 * 5.0 / math.sqrt(4000)
    assert parts["mutual_information"] == pytest.approx(0.0, abs=1e-5)
    assert [unit["mean"] for unit in parts["latents"]] == pytest.approx([3.0, 4.0])


def test_the_images_of_few_draws_are_not_the_first_ones():
    loc = np.concatenate([np.zeros([500, 1]), np.full([500, 1], 4.0)])
    parts = decompose(loc, np.full([1, 1], 0.5), draws=200)
    assert abs(parts["kl"] - parts["rate"]) < 4.0 * parts["standard_errors"]["kl"]
    assert parts["mutual_information"] == pytest.approx(LOG2, abs=0.05)
    other = decompose(loc, np.full([1, 1], 0.5), draws=200, seed=1)
    assert decompose(loc, np.full([1, 1], 0.5), draws=200) == parts
    assert other["kl"] != parts["kl"]


def test_a_prior_that_is_the_aggregate_posterior_leaves_only_mutual_information():
    loc, scale = random_posteriors(40, 2, is_full=False)
    prior = MixturePrior(2, 40, seed=tf.constant([0, 0]))
    prior.loc.assign(loc)
    prior.raw_log_variance.assign(10.0 * np.arctanh(0.2 * np.log(scale)))
    parts = decompose(loc, scale, prior=prior, draws=2000)
    assert parts["marginal_kl"] == pytest.approx(0.0, abs=1e-4)
    assert parts["kl"] == pytest.approx(parts["mutual_information"], abs=1e-4)
    errors = parts["standard_errors"]
    assert errors["rate"] > 0.0
    assert abs(parts["rate"] - parts["kl"]) < 4.0 * math.hypot(errors["kl"], errors["rate"])
    # Neither is a sum over dimensions.
    assert "dimension_kl" not in parts
    assert set(parts["latents"][0]) == {"mutual_information", "mean", "std"}


SMALL = {"network": "mlp", "encoder_units": (8,), "latent_dim": 2}


@pytest.mark.parametrize(
    "settings",
    [
        {"posterior": "full", "prior": "vamp", "prior_components": 3},
        {"prior": "flow", "conditional": True},
        {"posterior": "full", "conditional": True},
    ],
    ids=str,
)
def test_every_model_has_parts_that_add_up(settings):
    model = assembly.build_float32_model(
        Config.from_flat({**SMALL, **settings}), (8, 8, 1), num_classes=3
    )
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, [50, 8, 8, 1]).astype(np.uint8)
    examples = Examples(image, rng.integers(-1, 3, 50).astype(np.int32))
    parts = measure_decomposition(
        model, padded_batches(examples, 40), batch_size=40, draws=400, seed=0
    )
    posterior = model.conditioned_on(tf.constant(examples.label)).encode(to_unit(image))
    z = posterior.sample(2000, seed=tf.constant([0, 1]))
    log_ratio = posterior.log_prob(z) - model.prior().log_prob(z)
    expected = float(tf.reduce_mean(log_ratio))
    assert parts["rate"] == pytest.approx(
        expected, abs=4.0 * parts["standard_errors"]["rate"] + 0.05
    )
    assert abs(parts["kl"] - expected) < 4.0 * parts["standard_errors"]["kl"] + 0.05
    both = parts["mutual_information"] + parts["marginal_kl"]
    assert both == pytest.approx(parts["kl"], abs=1e-5)
    assert 0.0 < parts["mutual_information"] < math.log(50)


def test_the_instrument_measures_a_run(tiny_run):
    folder = RunFolder(tiny_run)
    options = EvaluateOptions(
        model_dir=tiny_run, metrics="decomposition", examples=9, decomposition_draws=30
    )
    parts = evaluate_run(folder.read_config(), folder, options)["decomposition"]
    assert (parts["draws"], parts["examples"], len(parts["latents"])) == (30, 9, 3)
    assert abs(parts["kl"] - parts["rate"]) < 5.0 * parts["standard_errors"]["kl"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"posterior": "iaf"}, r"--posterior=diagonal or full, but .* has --posterior=iaf"),
        ({"model": "ladder", "latent_dim": 8, "ladder_dims": (2, 6)}, r"has --model=ladder"),
        ({"model": "sparse_autoencoder"}, r"needs a model with a prior"),
    ],
)
def test_a_model_without_gaussian_posteriors_is_refused(settings, message):
    config = Config.from_flat({**SMALL, **settings, "model_dir": "x"})
    empty = Examples(np.zeros([0, 8, 8, 1], np.uint8), np.zeros([0], np.int32))
    subject = Subject(
        config,
        RunFolder("x"),
        Dataset(empty, empty, empty),
        assembly.build_float32_model(config, (8, 8, 1), num_classes=0),
        EvaluateOptions(model_dir="x"),
    )
    with pytest.raises(ConfigError, match=message):
        INSTRUMENTS["decomposition"](subject)
