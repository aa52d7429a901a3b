from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.flows import GATE_OFFSET
from vae_lowlevel.distributions.posteriors import (
    LOG_VARIANCE_BOUND,
    AutoregressiveFlowPosterior,
    DiagonalPosterior,
    FullPosterior,
    sample_and_log_prob,
)
from vae_lowlevel.randomness import make_seed


def test_parameters_are_loc_and_bounded_log_variance():
    build = DiagonalPosterior(2)
    assert build.parameter_size == 4
    posterior = build(tf.constant([[1.0, -2.0, 0.5, -30.0]]))
    log_variance = np.array([10 * math.tanh(0.05), 10 * math.tanh(-3.0)])
    np.testing.assert_array_equal(posterior.mean(), [[1.0, -2.0]])
    np.testing.assert_allclose(posterior.stddev()[0], np.exp(log_variance / 2), rtol=1e-5)


def test_log_prob_is_that_of_independent_normals():
    posterior = DiagonalPosterior(3)(tf.constant([[0.3, -1.0, 2.0, 0.0, -1.0, 1.5]]))
    z = np.array([[0.1, 0.2, 0.3]])
    normal = scipy.stats.norm(posterior.mean().numpy(), posterior.stddev().numpy())
    np.testing.assert_allclose(
        posterior.log_prob(tf.constant(z, tf.float32)), normal.logpdf(z).sum(-1), rtol=1e-5
    )


def test_bijector_turns_noise_into_a_draw():
    posterior = DiagonalPosterior(2)(tf.constant([[1.0, -2.0, 1.0, -1.0], [0.0] * 4]))
    noise = np.array([[0.5, -1.5], [2.0, 3.0]], np.float32)
    expected = posterior.mean().numpy() + posterior.stddev().numpy() * noise
    np.testing.assert_allclose(posterior.bijector.forward(noise), expected, rtol=1e-6)


@pytest.mark.parametrize("raw", [-1e30, -1e4, 1e4, 1e30])
def test_extreme_log_variances_stay_finite_with_their_gradients(raw):
    parameters = tf.constant([[0.0, raw]])
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        posterior = DiagonalPosterior(1)(parameters)
        total = tf.reduce_sum(posterior.stddev()) + posterior.log_prob([[0.1]])[0]
    scale = math.exp(math.copysign(LOG_VARIANCE_BOUND, raw) / 2)
    np.testing.assert_allclose(posterior.stddev(), [[scale]], rtol=1e-5)
    assert np.all(np.isfinite(tape.gradient(total, parameters)))


def test_half_precision_parameters_give_a_float32_distribution():
    posterior = DiagonalPosterior(1)(tf.constant([[1.0, 0.0]], tf.bfloat16))
    assert posterior.dtype == tf.float32
    assert posterior.stddev().dtype == tf.float32


B, D, H = 3, 4, 2
RNG = np.random.default_rng(0)
LOWER = np.tril(RNG.normal(size=[2, D, D]), -1).astype(np.float32)
OF_CONTEXT = RNG.normal(size=[H, D]).astype(np.float32)
NOISE = RNG.normal(size=[B, D]).astype(np.float32)


def autoregressive(x, context):
    return tuple(tf.math.tanh(tf.linalg.matvec(m, x) + context @ OF_CONTEXT) for m in LOWER)


def zero(x, context):
    return tf.zeros_like(x), tf.zeros_like(x)


HEADS = {
    "diagonal": lambda: DiagonalPosterior(D),
    "full": lambda: FullPosterior(D),
    "iaf": lambda: AutoregressiveFlowPosterior(D, H, [autoregressive] * 3),
}


def build(kind, batch=B):
    head = HEADS[kind]()
    parameters = np.random.default_rng(1).normal(size=[batch, head.parameter_size])
    return head, head(tf.constant(parameters, tf.float32))


def jacobian_of_draw(posterior):
    noise = tf.constant(NOISE)
    with tf.GradientTape() as tape:
        tape.watch(noise)
        z = sample_and_log_prob(posterior, noise)[0]
    return z, tape.batch_jacobian(z, noise).numpy().astype(np.float64)


@pytest.mark.parametrize("kind", HEADS)
def test_density_of_a_draw_is_that_of_the_noise_over_the_jacobian(kind):
    _, posterior = build(kind)
    z, log_q = sample_and_log_prob(posterior, NOISE)
    _, jacobian = jacobian_of_draw(posterior)
    expected = scipy.stats.norm.logpdf(NOISE).sum(-1) - np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_q, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(z, posterior.bijector.forward(NOISE))
    # TFP's own log_prob inverts the flow: a new posterior does not know the tensors of the draw.
    again = build(kind)[1].log_prob(tf.constant(z.numpy()))
    np.testing.assert_allclose(again, log_q, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("kind", HEADS)
def test_several_draws_per_image_come_with_their_own_density(kind):
    _, posterior = build(kind)
    z, log_q = sample_and_log_prob(posterior, tf.stack([NOISE, 2 * NOISE]))
    assert z.shape == [2, B, D]
    assert log_q.shape == [2, B]
    for together, alone in zip((z, log_q), sample_and_log_prob(posterior, 2 * NOISE), strict=True):
        np.testing.assert_allclose(together[1], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", HEADS)
def test_rows_are_drawn_apart_by_a_seed(kind):
    _, posterior = build(kind)
    z = posterior.sample(seed=make_seed(0)).numpy()
    assert z.shape == (B, D)
    noise = posterior.bijector.inverse(z).numpy()
    assert len(np.unique(np.round(noise, 3), axis=0)) == B
    np.testing.assert_array_equal(posterior.sample(seed=make_seed(0)), z)


@pytest.mark.parametrize("kind", HEADS)
def test_density_integrates_to_1(kind):
    # Importance sampling over the first image's posterior, from a wide Student's t.
    _, posterior = build(kind)
    proposal = scipy.stats.multivariate_t(np.zeros(D), 9 * np.eye(D), df=4, seed=0)
    z = proposal.rvs(40_000)
    log_q = posterior.log_prob(tf.constant(z[:, None], tf.float32))[:, 0].numpy()
    weight = np.exp(log_q - proposal.logpdf(z))
    assert abs(weight.mean() - 1) < 4 * weight.std() / np.sqrt(len(z))
    assert weight.std() / np.sqrt(len(z)) < 0.05


def test_full_scale_is_lower_triangular_and_that_of_its_draws():
    head, posterior = build("full")
    parameters = head.parameters(posterior)
    assert set(parameters) == {"z_mean", "z_scale_tril"}
    scale = parameters["z_scale_tril"].numpy()
    np.testing.assert_array_equal(scale, np.tril(scale))
    assert np.all(np.any(np.tril(scale, -1) != 0, axis=0) == np.tril(np.ones([D, D]), -1))
    expected = parameters["z_mean"].numpy() + np.einsum("bij,bj->bi", scale, NOISE)
    np.testing.assert_allclose(
        sample_and_log_prob(posterior, NOISE)[0], expected, rtol=1e-5, atol=1e-6
    )
    for row in range(B):
        normal = scipy.stats.multivariate_normal(
            parameters["z_mean"][row].numpy().astype(float), scale[row] @ scale[row].T.astype(float)
        )
        np.testing.assert_allclose(
            posterior.log_prob(NOISE)[row], normal.logpdf(NOISE[row]), rtol=1e-3
        )


def test_full_entries_beneath_the_diagonal_are_bounded_and_start_small():
    full = FullPosterior(D)
    for raw, expected in [(1.0, 1.0 / D), (-1e30, -100.0)]:
        scale = full(tf.fill([1, full.parameter_size], raw)).scale.to_dense()[0].numpy()
        np.testing.assert_allclose(scale[np.tril_indices(D, -1)], expected, rtol=1e-4)


def test_full_without_off_diagonal_entries_is_diagonal():
    loc, raw = RNG.normal(size=[2, B, D]).astype(np.float32)
    full = FullPosterior(D)
    # The raw entries that fill_triangular puts on the diagonal, found by filling in their numbers.
    numbers = tfp.math.fill_triangular(np.arange(D * (D + 1) // 2)).numpy()
    entries = np.zeros([B, D * (D + 1) // 2], np.float32)
    entries[:, np.diag(numbers)] = raw
    posterior = full(np.concatenate([loc, entries], -1))
    diagonal = DiagonalPosterior(D)(np.concatenate([loc, raw], -1))
    for found, expected in zip(
        sample_and_log_prob(posterior, NOISE), sample_and_log_prob(diagonal, NOISE), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(posterior.stddev(), diagonal.stddev(), rtol=1e-6)


def test_iaf_of_a_zero_network_is_a_diagonal_gaussian_shrunk_by_its_gates():
    head = AutoregressiveFlowPosterior(D, H, [zero, zero])
    parameters = RNG.normal(size=[B, 2 * D + H]).astype(np.float32)
    posterior, base = head(parameters), DiagonalPosterior(D)(parameters[:, : 2 * D])
    shrink = (1 / (1 + np.exp(-GATE_OFFSET))) ** 2
    # Two steps, with the dimensions reversed once in between.
    loc, scale = (shrink * part.numpy()[:, ::-1] for part in (base.mean(), base.stddev()))
    z, log_q = sample_and_log_prob(posterior, NOISE)
    np.testing.assert_allclose(z, loc + scale * NOISE[:, ::-1], rtol=1e-5, atol=1e-6)
    expected = scipy.stats.norm(loc, scale).logpdf(z.numpy()).sum(-1)
    np.testing.assert_allclose(log_q, expected, rtol=1e-4)


def test_iaf_gives_dependent_dimensions():
    _, jacobian = jacobian_of_draw(build("iaf")[1])
    assert np.all(np.abs(jacobian).max(axis=0) > 1e-4)


@pytest.mark.parametrize("kind", HEADS)
def test_embedding_is_the_draw_of_no_noise(kind):
    head, posterior = build(kind)
    np.testing.assert_allclose(
        head.embedding(posterior),
        sample_and_log_prob(posterior, np.zeros_like(NOISE))[0],
        rtol=1e-6,
    )


def test_parameters_of_iaf_are_those_of_its_base_and_the_embedding():
    head, posterior = build("iaf")
    parameters = head.parameters(posterior)
    assert set(parameters) == {"z_mean", "z_log_var", "z"}
    np.testing.assert_array_equal(parameters["z_mean"], posterior.base.mean())
    np.testing.assert_allclose(
        np.exp(parameters["z_log_var"]), posterior.base.variance(), rtol=1e-5
    )
    np.testing.assert_array_equal(parameters["z"], head.embedding(posterior))


@pytest.mark.parametrize("scale", [1e4, -1e4, 1e30])
@pytest.mark.parametrize("kind", HEADS)
def test_saturated_parameters_stay_finite_with_their_gradients(kind, scale):
    head = HEADS[kind]()
    parameters = tf.fill([B, head.parameter_size], scale)
    parameters = tf.concat([tf.ones([B, D]), parameters[:, D:]], -1)
    with tf.GradientTape() as tape:
        tape.watch(parameters)
        z, log_q = sample_and_log_prob(head(parameters), NOISE)
        total = tf.reduce_sum(z) + tf.reduce_sum(log_q)
    assert np.all(np.isfinite(z))
    assert np.all(np.isfinite(log_q))
    assert np.all(np.isfinite(tape.gradient(total, parameters)))


@pytest.mark.parametrize("kind", HEADS)
def test_half_precision_parameters_give_float32_draws(kind):
    head = HEADS[kind]()
    z, log_q = sample_and_log_prob(head(tf.ones([B, head.parameter_size], tf.bfloat16)), NOISE)
    assert z.dtype == log_q.dtype == tf.float32
