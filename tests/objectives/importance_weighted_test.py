"""The importance-weighted bound: formulas, limits, and the two gradients."""

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
    TO_LOGITS,
    TO_POSTERIOR,
    B,
    D,
    LinearMap,
    build_model,
    evaluate,
    loss_gradients,
    make_noise,
)

from vae_lowlevel import schedules
from vae_lowlevel.distributions.posteriors import FullPosterior
from vae_lowlevel.distributions.priors import MixturePrior, StandardPrior
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.importance_weighted import ImportanceWeighted
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch


def build_objective(num_samples, kl_weight=1.0, **settings):
    return ImportanceWeighted(
        kl_weight=schedules.constant(kl_weight), num_samples=num_samples, **settings
    )


def reference(num_samples, kl_weight):
    """Returns log w_s of the loss and of the bound, float64 [k, B], from the formulas."""
    x = IMAGE.reshape(B, PIXELS).astype(np.float64)
    loc, raw = np.split(x @ TO_POSTERIOR, 2, axis=-1)
    scale = np.exp(5 * np.tanh(raw / 10))
    noise = make_noise().normal("posterior", (num_samples, D)).numpy().transpose(1, 0, 2)
    z = loc + scale * noise
    mean = scipy.special.expit(z @ TO_LOGITS)
    log_likelihood = (x * np.log(mean) + (1 - x) * np.log(1 - mean)).sum(-1)
    log_prior = scipy.stats.norm.logpdf(z).sum(-1)
    log_q = scipy.stats.norm.logpdf(z, loc, scale).sum(-1)
    log_ratio = log_prior - log_q
    return log_likelihood + kl_weight * log_ratio, log_likelihood + log_ratio


@pytest.mark.parametrize("kl_weight", [1.0, 0.3])
@pytest.mark.parametrize("doubly", [False, True])
def test_terms_are_those_of_the_formulas(kl_weight, doubly):
    objective = build_objective(5, kl_weight, is_doubly_reparameterized=doubly)
    terms = evaluate(objective, build_model("bernoulli"))
    weighted, log_weights = reference(5, kl_weight)
    expected = {
        "loss": np.log(5) - scipy.special.logsumexp(weighted, 0),
        "bound": scipy.special.logsumexp(log_weights, 0) - np.log(5),
        "elbo": log_weights.mean(0),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(getattr(terms, name), values, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(terms.elbo, -(terms.distortion + terms.rate), rtol=1e-5)


@pytest.mark.parametrize("doubly", [False, True])
def test_one_draw_is_the_elbo(doubly):
    """The doubly reparameterized gradient of one draw leaves out the score of q, of mean 0."""
    one = build_objective(1, is_doubly_reparameterized=doubly)
    elbo = Elbo(kl_weight=schedules.constant(1.0), kl_estimator="monte_carlo")
    model = build_model("bernoulli")
    a, b = evaluate(one, model), evaluate(elbo, model)
    np.testing.assert_allclose(a.loss, b.loss, rtol=1e-6)
    np.testing.assert_allclose(a.bound, b.elbo, rtol=1e-6)
    encoder, decoder = loss_gradients(one, model)
    elbo_encoder, elbo_decoder = loss_gradients(elbo, model)
    np.testing.assert_allclose(decoder, elbo_decoder, rtol=1e-5)
    is_equal = np.allclose(encoder, elbo_encoder, rtol=1e-4)
    assert is_equal == (not doubly)


@pytest.mark.parametrize("draws", [1, 4])
def test_the_elbo_of_several_draws_is_the_mean_of_that_of_each(draws):
    objective = Elbo(
        kl_weight=schedules.constant(0.5), num_samples=draws, kl_estimator="monte_carlo"
    )
    terms = evaluate(objective, build_model("bernoulli"))
    weighted, log_weights = reference(draws, 0.5)
    np.testing.assert_allclose(terms.loss, -weighted.mean(0), rtol=1e-5)
    np.testing.assert_allclose(terms.elbo, log_weights.mean(0), rtol=1e-5)


def test_the_bound_rises_with_the_number_of_draws():
    means = []
    model = build_model("bernoulli")
    batch = Batch(tf.repeat(tf.constant(IMAGE), 200, 0), tf.zeros([200 * B], tf.int32))
    noise = BatchNoise(make_seed(0), 0, 200 * B, 200 * B)
    for draws in (1, 8, 64, 1024):
        terms = build_objective(draws)(model, batch, noise, tf.constant(0), None)
        means.append(float(tf.reduce_mean(terms.bound)))
    assert np.all(np.diff(means) > 0.0)
    # By quadrature over the plane of z.
    grid = np.linspace(-6, 6, 241)
    z = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    mean = scipy.special.expit(z @ TO_LOGITS.astype(np.float64))
    x = IMAGE.reshape(B, PIXELS)
    joint = x @ np.log(mean).T + (1 - x) @ np.log(1 - mean).T
    joint += scipy.stats.norm.logpdf(z).sum(-1) + 2 * np.log(grid[1] - grid[0])
    exact = scipy.special.logsumexp(joint, 1).mean()
    assert means[-1] < exact < means[-1] + 0.02


@pytest.mark.parametrize(
    ("prior", "posterior", "kl_weight"),
    [("standard", "diagonal", 1.0), ("mixture", "full", 1.0), ("standard", "diagonal", 0.4)],
)
def test_both_gradients_have_one_mean_and_the_doubly_reparameterized_less_noise(
    prior, posterior, kl_weight
):
    copies, draws = 4000, 8
    rng = np.random.default_rng(1)
    is_full = posterior == "full"
    kernel = rng.normal(scale=0.7, size=[PIXELS, 5]).astype(np.float32)
    model = build_model("bernoulli")
    if is_full:
        model = VariationalAutoencoder(
            image_shape=(2, 3, 1),
            latent_dim=D,
            encoder=LinearMap(kernel, [5]),
            posterior=FullPosterior(D),
            prior=MixturePrior(D, 3, seed=make_seed(0)),
            decoder=LinearMap(TO_LOGITS, [2, 3, 1]),
            likelihood=LIKELIHOODS["bernoulli"],
        )
    assert isinstance(model.prior, StandardPrior) == (prior == "standard")
    batch = Batch(tf.repeat(tf.constant(IMAGE[:1]), copies, 0), tf.zeros([copies], tf.int32))
    noise = BatchNoise(make_seed(2), 0, copies, copies)

    @tf.function(autograph=False)
    def gradients(doubly):
        """Of each copy, through an encoder output and decoder kernel of its own."""
        parameters = model.encoder(batch.image)
        objective = build_objective(draws, kl_weight, is_doubly_reparameterized=doubly)
        with tf.GradientTape() as tape:
            tape.watch(parameters)
            own = VariationalAutoencoder(
                image_shape=(2, 3, 1),
                latent_dim=D,
                encoder=lambda image: parameters,
                posterior=model.posterior,
                prior=model.prior,
                decoder=model.decoder,
                likelihood=model.likelihood,
            )
            loss = tf.reduce_sum(objective(own, batch, noise, tf.constant(0), None).loss)
        return tape.gradient(loss, [parameters, model.decoder.kernel])

    plain, plain_decoder = (g.numpy() for g in gradients(False))
    doubly, doubly_decoder = (g.numpy() for g in gradients(True))
    error = 5.0 * np.sqrt((plain.var(0) + doubly.var(0)) / copies)
    assert np.all(np.abs(plain.mean(0) - doubly.mean(0)) < error)
    # The means are known far better than they are large.
    assert np.any(np.abs(doubly.mean(0)) > 3.0 * error)
    if kl_weight == 1.0:
        assert doubly.var(0).sum() < 0.7 * plain.var(0).sum()
    np.testing.assert_allclose(plain_decoder, doubly_decoder, rtol=1e-3)


def test_gradients_of_the_bound_are_those_of_finite_differences():
    objective = build_objective(3)
    (encoder, _) = loss_gradients(objective, build_model("bernoulli"))
    for index in ((0, 0), (3, 2)):
        losses = []
        for change in (-1e-2, 1e-2):
            kernel = TO_POSTERIOR.copy()
            kernel[index] += change
            terms = evaluate(objective, build_model("bernoulli", kernel))
            losses.append(float(tf.reduce_mean(terms.loss)))
        assert encoder[index] == pytest.approx((losses[1] - losses[0]) / 2e-2, rel=0.02, abs=2e-4)


def test_the_encoder_runs_once():
    model = build_model("bernoulli")
    rows = []
    encoder = model.encoder
    model.encoder = lambda image: rows.append(len(image)) or encoder(image)
    evaluate(build_objective(7), model)
    assert rows == [B]


def test_bits_per_dimension_are_of_the_bound():
    report = build_objective(2, bpd_dimensions=24).report({"bound": -24 * np.log(2.0)})
    assert report["bpd"] == pytest.approx(1.0)
    assert build_objective(2).report({"bound": 1.0}) == {"bound": 1.0}
