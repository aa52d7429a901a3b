"""The beta-TCVAE's terms against NumPy, their sum, replicas, and the weights of the estimator."""

from __future__ import annotations

import numpy as np
import scipy.special
import scipy.stats
import tensorflow as tf
from objectives.linear_vae import (
    IMAGE,
    TO_POSTERIOR,
    B,
    D,
    build_model,
    evaluate,
    loss_gradients,
    make_noise,
)

from vae_lowlevel import schedules
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.total_correlation import (
    TotalCorrelation,
    _log_aggregate,
    stratified_log_weights,
)
from vae_lowlevel.types import Batch

N = 50


def build_objective(kl_weight=1.0, examples=N):
    return TotalCorrelation(kl_weight=schedules.constant(kl_weight), examples=examples)


def reference(kl_weight):
    """Computes the terms pair by pair, in float64."""
    x = IMAGE.reshape(B, -1).astype(np.float64)
    loc, raw = np.split(x @ TO_POSTERIOR, 2, axis=-1)
    scale = np.exp(5 * np.tanh(raw / 10))
    z = loc + scale * make_noise().normal("posterior", (D,)).numpy()
    others = B - 1
    log_joint, log_factors = np.zeros(B), np.zeros(B)
    for i in range(B):
        density = np.array([scipy.stats.norm.pdf(z[i], loc[j], scale[j]) for j in range(B)])
        weights = np.full(B, (N - 1) / (N * others))
        weights[i] = 1 / N
        log_joint[i] = np.log(weights @ density.prod(1))
        log_factors[i] = np.log(weights @ density).sum()
    log_q = scipy.stats.norm.logpdf(z, loc, scale).sum(-1)
    terms = {
        "mutual_information": log_q - log_joint,
        "total_correlation": log_joint - log_factors,
        "dimension_kl": log_factors - scipy.stats.norm.logpdf(z).sum(-1),
    }
    weight = np.array([1.0, kl_weight, 1.0])
    return {**terms, "penalty": weight @ np.array(list(terms.values()))}


def test_terms_are_those_of_a_loop_over_all_pairs():
    terms = evaluate(build_objective(6.0), build_model("bernoulli"))
    expected = reference(6.0)
    for name in ("mutual_information", "total_correlation", "dimension_kl"):
        np.testing.assert_allclose(getattr(terms, name), expected[name], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        terms.loss, terms.distortion.numpy() + expected["penalty"], rtol=1e-5
    )


def test_with_weight_one_the_loss_is_the_negative_elbo_from_a_draw():
    model = build_model("bernoulli")
    elbo = Elbo(kl_weight=schedules.constant(1.0), kl_estimator="monte_carlo")
    np.testing.assert_allclose(
        evaluate(build_objective(), model).loss, evaluate(elbo, model).loss, rtol=1e-5
    )
    for a, b in zip(
        loss_gradients(build_objective(), model), loss_gradients(elbo, model), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_elbo_and_rate_have_their_closed_form():
    model = build_model("bernoulli")
    terms, elbo = (
        evaluate(build_objective(4.0), model),
        evaluate(Elbo(kl_weight=schedules.constant(1.0)), model),
    )
    np.testing.assert_allclose(terms.rate, elbo.rate, rtol=1e-6)
    np.testing.assert_allclose(terms.elbo, elbo.elbo, rtol=1e-6)


def test_two_replicas_have_the_terms_and_the_gradient_of_one():
    model, objective = build_model("bernoulli"), build_objective(6.0)
    whole = evaluate(objective, model)
    whole_gradients = loss_gradients(objective, model)

    def rows_of(first, everyone):
        """The terms of one replica; `everyone` is what the sum over replicas returns, or None."""
        sent = []

        def global_mean(values):
            sent.append(tf.reduce_sum(values, 0))
            return (everyone if everyone is not None else sent[0]) / B

        batch = Batch(tf.constant(IMAGE[first : first + 2]), tf.zeros([2], tf.int32))
        noise = make_noise(first_row=first, rows=2)
        with tf.GradientTape() as tape:
            terms = objective(model, batch, noise, tf.constant(0), global_mean)
            loss = tf.reduce_sum(terms.loss) / B
        gradients = tape.gradient(loss, [model.encoder.kernel, model.decoder.kernel])
        return terms, gradients, sent[0]

    everyone = rows_of(0, None)[2] + rows_of(2, None)[2]
    first, second = rows_of(0, everyone), rows_of(2, everyone)
    for name in whole._fields:
        both = np.concatenate([getattr(first[0], name), getattr(second[0], name)])
        np.testing.assert_allclose(both, getattr(whole, name), rtol=1e-4, atol=1e-5, err_msg=name)
    for a, b, expected in zip(first[1], second[1], whole_gradients, strict=True):
        np.testing.assert_allclose(a + b, expected, rtol=1e-4, atol=1e-6)


def test_weights_make_the_estimate_of_the_density_unbiased():
    """The mean over all batches is the mean over the data set, exactly, for a data set of five."""
    examples, batch_size = 5, 3
    densities = np.random.default_rng(0).uniform(size=examples)
    weights = np.exp(stratified_log_weights(batch_size, examples).numpy())
    np.testing.assert_allclose(weights.sum(1), 1.0, rtol=1e-6)
    for row in range(batch_size):
        estimates = []
        # z comes from image 0; the others are drawn without replacement from the rest.
        for a in range(1, examples):
            for b in range(1, examples):
                if a != b:
                    others = iter((a, b))
                    batch = [0 if i == row else next(others) for i in range(batch_size)]
                    estimates.append(weights[row] @ densities[batch])
        np.testing.assert_allclose(np.mean(estimates), densities.mean(), rtol=1e-6)


def test_a_batch_of_one_image_has_no_total_correlation():
    weights = stratified_log_weights(1, 10)
    np.testing.assert_array_equal(weights, [[0.0]])


def test_a_batch_of_the_whole_data_set_is_exact():
    """Posteriors on a grid: q(z) is a product, so that its total correlation is 0."""
    side = 16
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, side), np.linspace(-3, 3, side)), -1)
    loc = grid.reshape(-1, 2).astype(np.float32)
    scale = 0.5
    z = loc + scale * np.random.default_rng(0).normal(size=loc.shape)
    log_prob = scipy.stats.norm.logpdf(z[:, None], loc, scale)
    joint = scipy.special.logsumexp(log_prob.sum(-1), 1) - np.log(len(loc))
    factors = (scipy.special.logsumexp(log_prob, 1) - np.log(len(loc))).sum(-1)
    assert abs((joint - factors).mean()) < 1e-6

    rows = tf.constant(np.stack([z, loc, np.full_like(z, scale)], -1), tf.float32)
    estimated = _log_aggregate(rows, examples=len(loc))
    np.testing.assert_allclose(estimated[0], joint, rtol=1e-4)
    np.testing.assert_allclose(estimated[1], factors, rtol=1e-4)
