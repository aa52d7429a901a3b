from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.bounds import inverse_soft_clip
from vae_lowlevel.distributions.ladder import (
    LOG_VARIANCE_BOUND,
    LadderPosterior,
    LadderPrior,
    combine,
)
from vae_lowlevel.distributions.posteriors import DiagonalPosterior, sample_and_log_prob
from vae_lowlevel.distributions.priors import MixturePrior, StandardPrior, tempered
from vae_lowlevel.randomness import make_seed

# Three levels from the top one on: z_3, z_2, z_1; S draws of B images.
DIMS, FEATURES = (2, 3, 4), 5
S, B, D = 6, 3, sum(DIMS)
RNG = np.random.default_rng(0)
TOP_DOWN = [RNG.normal(size=[above, 2 * d]) for above, d in ((2, 3), (5, 4))]
BOTTOM_UP = [RNG.normal(size=[FEATURES, size]) for size in (2 * 3 + FEATURES, 2 * 2)]
PARAMETERS = RNG.normal(size=[B, 2 * 4 + FEATURES]).astype(np.float32)
NOISE = RNG.normal(size=[S, B, D]).astype(np.float32)


class Network(tf.Module):
    """tanh(x) @ kernel."""

    def __init__(self, kernel):
        super().__init__()
        self.kernel = tf.Variable(kernel, dtype=tf.float32)

    def __call__(self, x):
        assert x.shape.rank == 2
        return tf.math.tanh(x) @ self.kernel


def build_prior(top=None):
    top = StandardPrior(DIMS[0]) if top is None else top
    return LadderPrior(DIMS, [Network(kernel) for kernel in TOP_DOWN], top)


def build(parameters=PARAMETERS):
    """Returns the prior, the head of the posterior, and its distribution."""
    prior = build_prior()
    networks = [Network(kernel) for kernel in BOTTOM_UP]
    head = LadderPosterior(DIMS, FEATURES, networks, prior.conditional)
    return prior, head, head(tf.constant(parameters))


def loc_and_variance(parameters):
    loc, raw = np.split(parameters, 2, axis=-1)
    return loc, np.exp(LOG_VARIANCE_BOUND * np.tanh(raw / LOG_VARIANCE_BOUND))


def prior_levels(z):
    """Yields mean and variance of p(z_l | above), from the top on, in float64."""
    yield np.zeros(DIMS[0]), np.ones(DIMS[0])
    yield loc_and_variance(np.tanh(z[..., :2]) @ TOP_DOWN[0])
    yield loc_and_variance(np.tanh(z[..., :5]) @ TOP_DOWN[1])


def posterior_levels(z):
    """Yields mean and variance of q(z_l | above, x), the product of two Gaussians, in float64."""
    parameters = PARAMETERS.astype(np.float64)
    bottom, features = parameters[:, :8], parameters[:, 8:]
    middle, features = np.split(np.tanh(features) @ BOTTOM_UP[0], [6], axis=-1)
    top = np.tanh(features) @ BOTTOM_UP[1]
    for level, (own, given) in enumerate(zip((top, middle, bottom), prior_levels(z), strict=True)):
        (loc, variance), (other_loc, other_variance) = loc_and_variance(own), given
        if level == 0:
            yield loc, variance
            continue
        total = variance + other_variance
        yield (
            (loc * other_variance + other_loc * variance) / total,
            variance * other_variance / total,
        )


LEVELS = {"prior": prior_levels, "posterior": posterior_levels}


def log_density(kind, z):
    """Sums the log-densities of the levels, by SciPy."""
    z = np.asarray(z, np.float64)
    parts = np.split(z, np.cumsum(DIMS)[:-1], axis=-1)
    return sum(
        scipy.stats.norm(loc, np.sqrt(variance)).logpdf(part).sum(-1)
        for part, (loc, variance) in zip(parts, LEVELS[kind](z), strict=True)
    )


def ancestral(kind, noise):
    """Returns z of noise, level by level."""
    z = np.zeros(noise.shape)
    first = 0
    for level, size in enumerate(DIMS):
        loc, variance = list(LEVELS[kind](z))[level]
        part = slice(first, first + size)
        z[..., part] = loc + np.sqrt(variance) * noise[..., part]
        first += size
    return z


def distribution_of(kind):
    return build_prior()() if kind == "prior" else build()[2]


@pytest.mark.parametrize("kind", LEVELS)
def test_a_draw_is_made_level_by_level_and_has_the_density_of_its_levels(kind):
    z, log_prob = sample_and_log_prob(distribution_of(kind), tf.constant(NOISE))
    assert z.shape == NOISE.shape
    assert log_prob.shape == [S, B]
    np.testing.assert_allclose(z, ancestral(kind, NOISE), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(log_prob, log_density(kind, z), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", LEVELS)
def test_density_of_any_z_is_that_of_its_levels(kind):
    z = 1.5 * NOISE[::-1]
    log_prob = distribution_of(kind).log_prob(tf.constant(z))
    np.testing.assert_allclose(log_prob, log_density(kind, z), rtol=1e-4)


def test_density_of_a_single_z_needs_no_batch():
    prior = build_prior()()
    log_prob = prior.log_prob(tf.constant(NOISE[0, 0]))
    assert log_prob.shape == []
    np.testing.assert_allclose(log_prob, log_density("prior", NOISE[0, 0]), rtol=1e-4)


def mixture_top():
    """A mixture of two Gaussians, for the top level: the module, and its density by SciPy."""
    top = MixturePrior(DIMS[0], 2, seed=make_seed(3))
    top.logits.assign([0.0, 1.0])
    top.loc.assign([[-2.0, 1.0], [3.0, 0.5]])
    weights, scale = scipy.special.softmax([0.0, 1.0]), np.exp(0.5 * -1.0)
    top.raw_log_variance.assign(tf.fill([2, DIMS[0]], inverse_soft_clip(-1.0, LOG_VARIANCE_BOUND)))

    def density(z):
        parts = [
            weight * scipy.stats.norm(loc, scale).pdf(z).prod(-1)
            for weight, loc in zip(weights, top.loc.numpy(), strict=True)
        ]
        return np.sum(parts, axis=0)

    return top, density


def test_the_top_level_may_have_any_prior():
    top, top_density = mixture_top()
    prior = build_prior(top)()
    z = prior.sample(4000, seed=make_seed(0))
    assert z.shape == [4000, D]
    of_levels = log_density("prior", z) - scipy.stats.norm.logpdf(z[:, :2]).sum(-1)
    expected = np.log(top_density(z[:, :2].numpy())) + of_levels
    for found in (prior.log_prob(z), build_prior(top)().log_prob(tf.identity(z))):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)
    # The draws are those of the density: of each component, and of the levels given the top.
    is_right = z[:, 0].numpy() > 0.5
    share = scipy.special.expit(1.0)
    assert abs(is_right.mean() - share) < 4 * np.sqrt(share * (1 - share) / 4000)
    np.testing.assert_allclose(z.numpy()[is_right, :2].mean(0), [3.0, 0.5], atol=0.05)
    for part, (loc, variance) in zip((z[:, 2:5], z[:, 5:]), [*prior_levels(z)][1:], strict=True):
        standardised = (part - loc) / np.sqrt(variance)
        assert scipy.stats.kstest(np.ravel(standardised), "norm").pvalue > 0.001


def test_temperature_narrows_the_components_at_the_top_and_the_levels_below():
    top, _ = mixture_top()
    z = tempered(build_prior(top)(), 0.0).sample(20, seed=make_seed(0)).numpy()
    is_right = z[:, 0] > 0
    assert 0 < is_right.sum() < 20
    np.testing.assert_allclose(z[:, :2], np.where(is_right[:, None], [3.0, 0.5], [-2.0, 1.0]))
    noise = np.zeros([20, D])
    noise[:, :2] = z[:, :2]
    np.testing.assert_allclose(z, ancestral("prior", noise), rtol=1e-4, atol=1e-5)


def test_one_level_has_the_prior_of_the_top():
    top, top_density = mixture_top()
    z = NOISE[0, :, :2]
    found = LadderPrior((2,), [], top)().log_prob(z)
    np.testing.assert_allclose(found, np.log(top_density(z)), rtol=1e-5, atol=1e-6)


def test_the_top_level_of_the_posterior_is_that_of_its_levels():
    _, head, _ = build()
    top = head.top_level(tf.constant(PARAMETERS))
    loc, variance = next(posterior_levels(np.zeros([B, D])))
    np.testing.assert_allclose(top.mean(), loc, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(top.variance(), variance, rtol=1e-3)


@pytest.mark.parametrize("kind", LEVELS)
def test_log_determinant_is_that_of_the_jacobian(kind):
    flow = distribution_of(kind).flow
    noise = tf.constant(NOISE[0])
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = flow.forward(noise)
    jacobian = tape.batch_jacobian(z, noise).numpy().astype(np.float64)
    _, log_det = np.linalg.slogdet(jacobian)
    found = flow.forward_log_det_jacobian(noise, event_ndims=1)
    np.testing.assert_allclose(found, log_det, rtol=1e-4, atol=1e-4)
    # No level depends on the noise of those below it.
    for first, last in ((0, 2), (2, 5)):
        np.testing.assert_array_equal(jacobian[:, first:last, last:], 0.0)
        assert np.all(np.abs(jacobian[:, last:, first:last]).max(1) > 1e-4)
    inverse = distribution_of(kind).flow
    np.testing.assert_allclose(inverse.inverse(tf.identity(z)), noise, rtol=1e-3, atol=1e-3)
    found = inverse.inverse_log_det_jacobian(tf.identity(z), event_ndims=1)
    np.testing.assert_allclose(found, -log_det, rtol=1e-3, atol=1e-3)


def test_rows_are_drawn_apart_by_a_seed():
    posterior = distribution_of("posterior")
    z = posterior.sample(seed=make_seed(0)).numpy()
    assert z.shape == (B, D)
    noise = posterior.bijector.inverse(z).numpy()
    assert len(np.unique(np.round(noise, 3), axis=0)) == B
    np.testing.assert_array_equal(distribution_of("posterior").sample(seed=make_seed(0)), z)


def test_estimates_are_combined_as_the_product_of_their_gaussians():
    loc, other_loc = RNG.normal(size=[2, 5]).astype(np.float32)
    log_variance = np.array([-8.0, -1.0, 0.0, 0.0, 8.0], np.float32)
    other = np.array([8.0, 1.0, 0.0, -2.0, 7.0], np.float32)
    combined_loc, combined = combine((loc, log_variance), (other_loc, other))
    precision, other_precision = np.exp(-log_variance.astype(np.float64)), np.exp(-1.0 * other)
    total = precision + other_precision
    expected = (precision * loc + other_precision * other_loc) / total
    np.testing.assert_allclose(combined_loc, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(combined, -np.log(total), rtol=1e-4)
    # The third pair once more without any formula of theirs: the densities' product on a grid.
    x = np.linspace(-12.0, 12.0, 4001)
    product = scipy.stats.norm(loc[2]).pdf(x) * scipy.stats.norm(other_loc[2]).pdf(x)
    product /= product.sum()
    mean = (x * product).sum()
    np.testing.assert_allclose(combined_loc[2], mean, rtol=1e-4)
    np.testing.assert_allclose(np.exp(combined[2]), ((x - mean) ** 2 * product).sum(), rtol=1e-4)


def test_an_estimate_far_more_precise_than_the_other_is_kept():
    sure, vague = (np.float32([3.0]), np.float32([-10.0])), (np.float32([-1.0]), np.float32([10.0]))
    for pair in ((sure, vague), (vague, sure)):
        loc, log_variance = combine(*pair)
        np.testing.assert_allclose(loc, [3.0], rtol=1e-6)
        np.testing.assert_allclose(log_variance, [-10.0], rtol=1e-6)


def test_one_level_is_a_diagonal_posterior_and_a_standard_prior():
    parameters = tf.constant(PARAMETERS[:, :8])
    prior = LadderPrior((4,), [], StandardPrior(4))
    head, diagonal = LadderPosterior((4,), 0, [], prior.conditional), DiagonalPosterior(4)
    assert head.parameter_size == diagonal.parameter_size
    noise = tf.constant(NOISE[..., :4])
    z, log_q = sample_and_log_prob(head(parameters), noise)
    expected_z, expected_log_q = sample_and_log_prob(diagonal(parameters), noise)
    np.testing.assert_allclose(z, expected_z, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(log_q, expected_log_q, rtol=1e-5)
    np.testing.assert_allclose(prior().log_prob(z), StandardPrior(4)().log_prob(z), rtol=1e-6)
    found, expected = head.parameters(head(parameters)), diagonal.parameters(diagonal(parameters))
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)


def test_every_variable_is_trained_and_counted_once():
    prior, head, _ = build()
    parameters = tf.constant(PARAMETERS)
    variables = prior.trainable_variables + head.trainable_variables
    assert len({variable.ref() for variable in variables}) == len(variables) == 4
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(parameters)
        z, log_q = sample_and_log_prob(head(parameters), tf.constant(NOISE))
        # Without the prior's own density: its networks are a part of the posterior too.
        of_posterior = tf.reduce_mean(log_q + tf.reduce_sum(z**2, -1))
        of_prior = tf.reduce_mean(prior().log_prob(tf.stop_gradient(z)))
    gradients = tape.gradient(of_posterior, [*variables, parameters])
    gradients += tape.gradient(of_prior, prior.trainable_variables)
    for gradient in gradients:
        assert np.all(np.isfinite(gradient))
        # Also those of every row and column: no unit is left out.
        assert np.all(np.abs(gradient).max(0) > 0)
        assert np.all(np.abs(gradient).max(1) > 0)


def test_gradient_is_that_of_finite_differences():
    def loss(parameters):
        prior, _, posterior = build(parameters)
        z, log_q = sample_and_log_prob(posterior, tf.constant(NOISE))
        return tf.reduce_mean(log_q - prior().log_prob(z))

    parameters = tf.constant(PARAMETERS)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        value = loss(parameters)
    gradient = tape.gradient(value, parameters)
    direction = tf.constant(RNG.normal(size=PARAMETERS.shape), tf.float32)
    step = 3e-3 * direction
    slope = (loss(parameters + step) - loss(parameters - step)) / (2 * 3e-3)
    np.testing.assert_allclose(tf.reduce_sum(gradient * direction), slope, rtol=1e-2)


def test_temperature_multiplies_the_deviation_of_every_level():
    def draw(temperature):
        return tempered(build_prior()(), temperature).sample(S, seed=make_seed(0)).numpy()

    np.testing.assert_allclose(
        draw(0.0), np.tile(ancestral("prior", np.zeros(D)), [S, 1]), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_array_equal(draw(1.0), build_prior()().sample(S, seed=make_seed(0)))
    deviations = []
    for temperature in (1.0, 0.5):
        z = draw(temperature)
        parts = np.split(z.astype(np.float64), np.cumsum(DIMS)[:-1], axis=-1)
        levels = zip(parts, prior_levels(z.astype(np.float64)), strict=True)
        deviations.append(
            np.concatenate(
                [(part - loc) / np.sqrt(variance) for part, (loc, variance) in levels], -1
            )
        )
    np.testing.assert_allclose(deviations[1], 0.5 * deviations[0], rtol=1e-2, atol=1e-3)


def test_draws_of_a_linear_prior_have_its_mean_and_covariance():
    weight, bias, log_variance = np.array([[0.5, -1.0]]), np.array([1.0, 2.0]), np.log([0.25, 2.0])

    def network(above):
        loc = above @ tf.constant(weight, tf.float32) + tf.constant(bias, tf.float32)
        raw = LOG_VARIANCE_BOUND * np.arctanh(log_variance / LOG_VARIANCE_BOUND)
        return tf.concat([loc, tf.zeros_like(loc) + tf.constant(raw, tf.float32)], -1)

    z = LadderPrior((1, 2), [network], StandardPrior(1))().sample(20_000, seed=make_seed(0)).numpy()
    covariance = np.eye(3)
    covariance[0, 1:] = covariance[1:, 0] = weight[0]
    covariance[1:, 1:] = weight.T @ weight + np.diag(np.exp(log_variance))
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(z.mean(0), [0.0, *bias], atol=4 * deviation.max() / np.sqrt(20_000))
    np.testing.assert_allclose(np.cov(z.T), covariance, atol=0.1)
    assert scipy.stats.kstest((z[:, 2] - bias[1]) / deviation[2], "norm").pvalue > 0.01


def test_embedding_and_parameters_are_those_of_the_means():
    _, head, posterior = build()
    wanted = ancestral("posterior", np.zeros([B, D]))
    found = head.parameters(posterior)
    assert set(found) == {"z_mean", "z_log_var"}
    np.testing.assert_allclose(found["z_mean"], wanted, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(found["z_mean"], head.embedding(posterior))
    variances = np.concatenate([variance for _, variance in posterior_levels(wanted)], -1)
    np.testing.assert_allclose(np.exp(found["z_log_var"]), variances, rtol=1e-3)


@pytest.mark.parametrize("scale", [1e4, -1e4, 1e30])
def test_saturated_parameters_stay_finite_with_their_gradients(scale):
    parameters = tf.fill([B, 2 * 4 + FEATURES], scale)
    parameters = tf.concat([tf.ones([B, 4]), parameters[:, 4:]], -1)
    prior, head, _ = build()
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        z, log_q = sample_and_log_prob(head(parameters), tf.constant(NOISE))
        log_p = prior().log_prob(z)
        total = tf.reduce_sum(z) + tf.reduce_sum(log_q - log_p)
    for values in (z, log_q, log_p, tape.gradient(total, parameters)):
        assert np.all(np.isfinite(values))


def test_half_precision_parameters_give_float32_draws():
    _, head, _ = build()
    posterior = head(tf.cast(PARAMETERS, tf.bfloat16))
    z, log_q = sample_and_log_prob(posterior, tf.constant(NOISE))
    assert z.dtype == log_q.dtype == tf.float32


def test_any_batch_size_compiles_and_gives_the_same():
    prior, head, _ = build()

    def compute(parameters, noise):
        z, log_q = sample_and_log_prob(head(parameters), noise)
        return z, log_q, prior().log_prob(z)

    expected = compute(tf.constant(PARAMETERS), tf.constant(NOISE))
    specs = [tf.TensorSpec([None, 2 * 4 + FEATURES]), tf.TensorSpec([S, None, D])]
    compiled = tf.function(compute, input_signature=specs, jit_compile=True)
    for found, values in zip(compiled(PARAMETERS, NOISE), expected, strict=True):
        np.testing.assert_allclose(found, values, rtol=1e-3, atol=1e-3)
