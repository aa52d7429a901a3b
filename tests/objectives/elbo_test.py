from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf
from objectives.linear_vae import (
    IMAGE,
    LIKELIHOODS,
    PIXELS,
    SCALE,
    TO_LOGITS,
    TO_POSTERIOR,
    B,
    D,
    LinearMap,
    build_model,
    evaluate,
    local_mean,
    loss_gradients,
    make_noise,
)

from vae_lowlevel import schedules
from vae_lowlevel.distributions.posteriors import FullPosterior
from vae_lowlevel.distributions.priors import MixturePrior, StandardPrior
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.objectives.elbo import Elbo, distance_from_capacity
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch


def build_objective(kl_weight=1.0, **settings):
    return Elbo(kl_weight=schedules.constant(kl_weight), **settings)


def reference_terms(likelihood, reduction, kl_weight, to_posterior, to_logits):
    """Computes the terms in float64 from the formulas."""
    x = IMAGE.reshape(B, PIXELS).astype(np.float64)
    loc, raw = np.split(x @ to_posterior, 2, axis=-1)
    log_variance = 10 * np.tanh(raw / 10)
    epsilon = make_noise().normal("posterior", (D,)).numpy()
    z = loc + np.exp(log_variance / 2) * epsilon
    mean = scipy.special.expit(z @ to_logits)
    if likelihood == "bernoulli":
        log_prob = (x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(-1)
    else:
        log_prob = scipy.stats.norm.logpdf(x, mean, SCALE).sum(-1)
    rate = 0.5 * (loc**2 + np.exp(log_variance) - 1 - log_variance).sum(-1)
    mse = ((mean - x) ** 2).mean(-1)
    reconstruction = {
        ("bernoulli", "sum"): -log_prob,
        ("gaussian", "sum"): -log_prob,
        ("bernoulli", "mean"): -log_prob / PIXELS,
        ("gaussian", "mean"): mse,
    }[likelihood, reduction]
    return {
        "loss": reconstruction + kl_weight * rate,
        "elbo": log_prob - rate,
        "distortion": -log_prob,
        "rate": rate,
        "mse": mse,
    }


CASES = [(name, reduction) for name in LIKELIHOODS for reduction in ("sum", "mean")]


@pytest.mark.parametrize("kl_weight", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(("likelihood", "reduction"), CASES)
def test_terms_follow_their_formulas(likelihood, reduction, kl_weight):
    objective = build_objective(kl_weight, pixel_reduction=reduction)
    terms = evaluate(objective, build_model(likelihood))
    expected = reference_terms(likelihood, reduction, kl_weight, TO_POSTERIOR, TO_LOGITS)
    assert terms._fields == objective.terms == tuple(expected)
    for name, value in terms._asdict().items():
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, err_msg=name)


@pytest.mark.parametrize(("likelihood", "reduction"), CASES)
def test_gradients_match_finite_differences_of_the_formulas(likelihood, reduction):
    objective = build_objective(3.0, pixel_reduction=reduction)
    gradients = loss_gradients(objective, build_model(likelihood))
    parameters = [TO_POSTERIOR.astype(np.float64), TO_LOGITS.astype(np.float64)]
    step = 1e-5
    for which, gradient in enumerate(gradients):
        expected = np.zeros_like(parameters[which])
        for index in np.ndindex(expected.shape):
            losses = []
            for sign in (1, -1):
                moved = [parameter.copy() for parameter in parameters]
                moved[which][index] += sign * step
                losses.append(reference_terms(likelihood, reduction, 3.0, *moved)["loss"].mean())
            expected[index] = (losses[0] - losses[1]) / (2 * step)
        np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("likelihood", "reduction"), CASES)
def test_kl_weight_scales_the_share_of_the_kl_in_the_gradient(likelihood, reduction):
    model = build_model(likelihood)
    none, one, four = (
        loss_gradients(build_objective(weight, pixel_reduction=reduction), model)
        for weight in (0.0, 1.0, 4.0)
    )
    with tf.GradientTape() as tape:
        rate = tf.reduce_mean(evaluate(build_objective(), model).rate)
    of_rate = tape.gradient(rate, model.encoder.kernel)
    assert np.linalg.norm(of_rate) > 0.1
    np.testing.assert_allclose(one[0] - none[0], of_rate, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(four[0] - none[0], 4 * of_rate, rtol=1e-3, atol=1e-4)
    # The decoder has no part in the KL.
    np.testing.assert_array_equal(none[1], four[1])


def test_kl_weight_changes_the_loss_and_no_other_term():
    model = build_model("bernoulli")
    one, four = (evaluate(build_objective(weight), model) for weight in (1.0, 4.0))
    np.testing.assert_allclose(four.loss - one.loss, 3 * one.rate, rtol=1e-4)
    np.testing.assert_allclose(one.loss, -one.elbo, rtol=1e-6)
    for name in ("elbo", "distortion", "rate", "mse"):
        np.testing.assert_array_equal(getattr(four, name), getattr(one, name))


def test_kl_weight_follows_its_schedule_over_the_steps():
    model = build_model("bernoulli")
    objective = Elbo(kl_weight=schedules.linear(2.0, warmup_steps=10))
    for step, weight in [(0, 0.0), (5, 1.0), (10, 2.0)]:
        terms = evaluate(objective, model, step)
        np.testing.assert_allclose(terms.loss, terms.distortion + weight * terms.rate, rtol=1e-5)


@pytest.mark.parametrize("capacity", [0.1, 50.0])
def test_capacity_costs_the_distance_of_the_mean_rate_from_it(capacity):
    model = build_model("bernoulli")
    plain = evaluate(build_objective(), model)
    objective = build_objective(3.0, capacity=schedules.constant(capacity))
    terms = evaluate(objective, model)
    distance = abs(np.mean(plain.rate) - capacity)
    np.testing.assert_allclose(
        np.mean(terms.loss), np.mean(plain.distortion) + 3.0 * distance, rtol=1e-5
    )
    for name in ("elbo", "distortion", "rate", "mse"):
        np.testing.assert_array_equal(getattr(terms, name), getattr(plain, name))
    # Below the capacity the gradient of the KL turns its sign.
    sign = 1 if capacity == 0.1 else -1
    gradient = loss_gradients(objective, model)[0]
    none, one = (loss_gradients(build_objective(weight), model)[0] for weight in (0.0, 1.0))
    np.testing.assert_allclose(gradient - none, sign * 3 * (one - none), rtol=1e-3, atol=1e-4)


def test_capacity_is_of_the_mean_over_all_replicas():
    rate = tf.constant([1.0, 2.0, 9.0])
    above, below = (
        distance_from_capacity(rate, 5.0, lambda values, mean=mean: tf.constant([mean]))
        for mean in (6.0, 4.0)
    )
    np.testing.assert_allclose(above, [-4.0, -3.0, 4.0])
    np.testing.assert_allclose(below, [4.0, 3.0, -4.0])


def test_capacity_rises_over_the_steps_and_is_reported():
    model = build_model("bernoulli")
    objective = build_objective(capacity=schedules.linear(8.0, 10))
    assert list(objective.schedules) == ["kl_weight", "capacity"]
    rate = np.mean(evaluate(build_objective(), model).rate)
    for step, capacity in [(0, 0.0), (5, 4.0), (10, 8.0), (99, 8.0)]:
        assert float(objective.schedules["capacity"](tf.constant(step))) == capacity
        terms = evaluate(objective, model, step)
        found = np.mean(terms.loss) - np.mean(terms.distortion)
        assert found == pytest.approx(abs(rate - capacity), rel=1e-3)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_posterior_equal_to_the_prior_costs_nothing(likelihood):
    terms = evaluate(build_objective(4.0), build_model(likelihood, np.zeros_like(TO_POSTERIOR)))
    np.testing.assert_array_equal(terms.rate, [0] * B)
    np.testing.assert_array_equal(terms.loss, terms.distortion)
    np.testing.assert_array_equal(terms.elbo, -terms.distortion)


def test_elbo_is_the_log_evidence_where_the_decoder_ignores_z():
    model = build_model("bernoulli", np.zeros_like(TO_POSTERIOR))
    model.decoder.kernel.assign(tf.zeros_like(model.decoder.kernel))
    # Every pixel is then Bernoulli(1/2), whose log-probability is -log 2 at any grey level.
    np.testing.assert_allclose(
        evaluate(build_objective(), model).elbo, [-PIXELS * np.log(2)] * B, rtol=1e-6
    )


def test_terms_of_an_example_do_not_depend_on_the_others():
    model = build_model("gaussian")
    together = evaluate(build_objective(), model)
    row = Batch(tf.constant(IMAGE[2:3]), tf.zeros([1], tf.int32))
    alone = build_objective()(model, row, make_noise(first_row=2, rows=1), 0, local_mean)
    np.testing.assert_allclose(tf.stack(alone)[:, 0], tf.stack(together)[:, 2], rtol=1e-5)


def test_free_bits_0_is_no_free_bits():
    model = build_model("bernoulli")
    free, plain = (
        evaluate(build_objective(free_bits=0.0), model),
        evaluate(build_objective(), model),
    )
    np.testing.assert_array_equal(free.loss, plain.loss)


def test_huge_free_bits_leave_the_kl_no_gradient_and_a_constant_cost():
    model = build_model("bernoulli")
    terms = evaluate(build_objective(2.0, free_bits=100.0), model)
    np.testing.assert_allclose(terms.loss, terms.distortion + 2.0 * 100.0 * D, rtol=1e-6)
    free = loss_gradients(build_objective(2.0, free_bits=100.0), model)
    without_kl = loss_gradients(build_objective(0.0), model)
    for gradient, expected in zip(free, without_kl, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)


def test_free_bits_hold_for_each_dimension_by_its_mean_over_the_batch():
    model = build_model("bernoulli")
    kl = model.kl_per_dimension(model.encode(IMAGE)).numpy()
    small, large = np.argsort(kl.mean(0))
    free_bits = 0.9 * kl[:, small].mean() + 0.1 * kl[:, large].mean()
    # Rows on both sides of the bound: it is the mean that counts.
    assert kl[:, small].max() > free_bits > kl[:, small].min()
    terms = evaluate(build_objective(2.0, free_bits=free_bits), model)
    np.testing.assert_allclose(
        terms.loss, terms.distortion + 2.0 * (free_bits + kl[:, large]), rtol=1e-5
    )
    # The reported terms are those of the model, not of the bound.
    np.testing.assert_allclose(terms.rate, kl.sum(-1), rtol=1e-5)


def test_free_bits_use_the_mean_over_all_replicas():
    model = build_model("bernoulli")
    objective = build_objective(free_bits=0.5)
    asked = []

    def other_replicas_have_much(values):
        asked.append(values)
        return tf.fill([D], 1000.0)

    terms = evaluate(objective, model, global_mean=other_replicas_have_much)
    np.testing.assert_array_equal(terms.loss, evaluate(build_objective(), model).loss)
    np.testing.assert_array_equal(asked[0], model.kl_per_dimension(model.encode(IMAGE)))
    terms = evaluate(objective, model, global_mean=lambda values: tf.zeros([D]))
    np.testing.assert_allclose(terms.loss, terms.distortion + 0.5 * D, rtol=1e-6)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_saturated_networks_stay_finite_with_their_gradients(likelihood):
    model = build_model(likelihood, 1e3 * TO_POSTERIOR)
    model.decoder.kernel.assign(1e3 * TO_LOGITS)
    assert np.all(np.isfinite(tf.stack(evaluate(build_objective(), model))))
    for gradient in loss_gradients(build_objective(), model):
        assert np.all(np.isfinite(gradient))


def build_full_model(prior=None):
    to_posterior = np.random.default_rng(1).normal(scale=0.7, size=[PIXELS, D + 3])
    return VariationalAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=D,
        encoder=LinearMap(to_posterior.astype(np.float32), [D + 3]),
        posterior=FullPosterior(D),
        prior=prior or StandardPrior(D),
        decoder=LinearMap(TO_LOGITS, [2, 3, 1]),
        likelihood=LIKELIHOODS["bernoulli"],
    )


def standard_mixture():
    """A mixture that is N(0, I), but has no closed form."""
    prior = MixturePrior(D, 1, seed=make_seed(0))
    prior.loc.assign(tf.zeros([1, D]))
    return prior


@pytest.mark.parametrize("build", [lambda: build_model("bernoulli"), build_full_model])
def test_monte_carlo_rate_is_the_log_ratio_at_the_draw_and_on_average_the_kl(build):
    model = build()
    image = np.repeat(IMAGE[:1], 20_000, axis=0)
    batch = Batch(tf.constant(image), tf.zeros([len(image)], tf.int32))
    noise = BatchNoise(make_seed(0), 0, len(image), len(image))
    terms = build_objective(kl_estimator="monte_carlo")(model, batch, noise, 0, local_mean)
    posterior = model.encode(image)
    z = posterior.bijector.forward(noise.normal("posterior", (D,))).numpy().astype(np.float64)
    log_q = scipy.stats.multivariate_normal(
        posterior.mean()[0].numpy().astype(float), posterior.covariance()[0].numpy().astype(float)
    ).logpdf(z)
    log_p = scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(terms.rate, log_q - log_p, rtol=1e-3, atol=1e-3)
    kl = model.kl_per_dimension(posterior)[0].numpy().sum()
    error = terms.rate.numpy().std() / np.sqrt(len(image))
    assert abs(terms.rate.numpy().mean() - kl) < 4 * error
    assert error < 0.1 * kl
    np.testing.assert_allclose(terms.elbo, -terms.distortion - terms.rate, rtol=1e-5)


def test_auto_uses_the_closed_form_if_there_is_one():
    for model in (build_model("bernoulli"), build_full_model()):
        auto, analytic = build_objective(), build_objective(kl_estimator="analytic")
        assert auto.is_analytic(model)
        np.testing.assert_array_equal(evaluate(auto, model).rate, evaluate(analytic, model).rate)
    model = build_full_model(standard_mixture())
    sampled = build_objective(kl_estimator="monte_carlo")
    assert not build_objective().is_analytic(model)
    assert not sampled.is_analytic(build_full_model())
    np.testing.assert_array_equal(
        evaluate(build_objective(), model).rate, evaluate(sampled, model).rate
    )
    # N(0, I) itself has the same density.
    np.testing.assert_allclose(
        evaluate(sampled, model).rate, evaluate(sampled, build_full_model()).rate, rtol=1e-4
    )


def test_free_bits_hold_for_each_dimension_of_a_full_covariance():
    model = build_full_model()
    kl = model.kl_per_dimension(model.encode(IMAGE)).numpy()
    small, large = np.argsort(kl.mean(0))
    free_bits = (kl[:, small].mean() + kl[:, large].mean()) / 2
    terms = evaluate(build_objective(2.0, free_bits=free_bits), model)
    np.testing.assert_allclose(
        terms.loss, terms.distortion + 2.0 * (free_bits + kl[:, large]), rtol=1e-5
    )


@pytest.mark.parametrize("part", [0.9, 1.1])
def test_free_bits_of_a_sampled_kl_hold_for_the_whole(part):
    model = build_full_model()
    rate = evaluate(build_objective(kl_estimator="monte_carlo"), model).rate.numpy()
    free_bits = part * rate.mean() / D
    objective = build_objective(2.0, free_bits=free_bits, kl_estimator="monte_carlo")
    terms = evaluate(objective, model)
    penalised = rate if part < 1 else D * free_bits
    np.testing.assert_allclose(terms.loss, terms.distortion + 2.0 * penalised, rtol=1e-5)
    np.testing.assert_array_equal(terms.rate, rate)


def test_bits_per_dimension_are_reported_where_the_likelihood_is_of_grey_levels():
    means = {"loss": 1.0, "elbo": -8.0 * 24 * np.log(2)}
    # 24 values per image: a uniform guess among 256 grey levels costs 8 bits for each.
    report = build_objective(bpd_dimensions=24).report(means)
    assert report == {**means, "bpd": pytest.approx(8.0)}
    assert build_objective().report(means) == means
