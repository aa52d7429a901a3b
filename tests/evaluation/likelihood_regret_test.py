"""Likelihood regret against the closed form of a linear model, and in every kind of model."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.distributions.posteriors import DiagonalPosterior, FullPosterior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.evaluation import likelihood_regret
from vae_lowlevel.evaluation.likelihood_regret import LikelihoodRegret, has_gaussian_posterior
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.types import Examples, to_unit

tfd = tfp.distributions
D, SHAPE, SIGMA = 2, (3, 4, 1), 0.3
GENERATOR = np.random.default_rng(0)
EXAMPLES = Examples(
    GENERATOR.integers(0, 256, [7, *SHAPE]).astype(np.uint8), np.full(7, -1, np.int32)
)
# Orthogonal rows: the exact posterior is diagonal, with the precision 1 + s^2 / SIGMA^2.
ROWS = np.linalg.qr(GENERATOR.normal(size=[12, D]))[0].T
W = np.array([[0.5], [0.9]]) * ROWS
# Rows that are not: the exact posterior has correlations.
SKEW_W = np.array([[0.6, 0.0], [0.5, 0.4]]) @ ROWS


def linear_vae(w, head, shift=0.0, raw_shift=0.0):
    """p(z) = N(0, I), p(x|z) = N(z W, SIGMA^2), encoder exact but for the shifts."""
    covariance = np.linalg.inv(np.eye(D) + w @ w.T / SIGMA**2)
    if isinstance(head, FullPosterior):
        scale = np.linalg.cholesky(covariance)
        diagonal = 10.0 * np.arctanh(2.0 * np.log(np.diag(scale)) / 10.0)
        raw = np.diag(diagonal) + 100.0 * D * np.arctanh(np.tril(scale, -1) / 100.0)
        entries = tfp.math.fill_triangular_inverse(raw.astype(np.float32)).numpy()
    else:
        entries = 10.0 * np.arctanh(np.log(np.diag(covariance)) / 10.0)
    entries = (entries + raw_shift).astype(np.float32)
    mean = tf.constant(w.T @ covariance / SIGMA**2, tf.float32)

    def encoder(image):
        loc = tf.reshape(image, [-1, 12]) @ mean + shift
        return tf.concat([loc, tf.tile(entries[None], [tf.shape(loc)[0], 1])], -1)

    return VariationalAutoencoder(
        image_shape=SHAPE,
        latent_dim=D,
        encoder=encoder,
        posterior=head,
        prior=StandardPrior(D),
        decoder=lambda z: tf.reshape(z @ tf.constant(w, tf.float32), [-1, *SHAPE]),
        likelihood=lambda mean: tfd.Independent(tfd.Normal(mean, SIGMA), 3),
    )


def regret_of(model, examples=EXAMPLES, **changes):
    settings = {"steps": 200, "decode_batch": 112, "seed": 0, "jit_compile": False, **changes}
    return LikelihoodRegret(model, **settings)(examples)


def test_the_exact_posterior_has_nothing_to_regret():
    found = regret_of(linear_vae(SKEW_W, FullPosterior(D)))
    np.testing.assert_allclose(found, np.zeros(7), atol=0.02)


@pytest.mark.parametrize(
    ("w", "head", "jit_compile"),
    [(W, DiagonalPosterior(D), True), (SKEW_W, FullPosterior(D), False)],
    ids=["diagonal", "full"],
)
def test_the_regret_is_the_divergence_from_the_exact_posterior(w, head, jit_compile, monkeypatch):
    """ELBO = log p(x) - KL(q || p(z|x)), and the best q has a KL of 0."""
    shifted = linear_vae(w, head, shift=[0.4, -0.8], raw_shift=0.7)
    image = to_unit(EXAMPLES.image)
    exact = tfd.kl_divergence(shifted.encode(image), linear_vae(w, head).encode(image)).numpy()
    assert np.all(exact > 1.0)
    monkeypatch.setattr(likelihood_regret, "_FINAL_DRAWS", 4000)
    found = regret_of(shifted, decode_batch=7 * 4000, jit_compile=jit_compile)
    np.testing.assert_allclose(found, exact, rtol=0.05)


@pytest.fixture(scope="module")
def shifted():
    return linear_vae(W, DiagonalPosterior(D), shift=0.5)


@pytest.fixture(scope="module")
def regret(shifted):
    return LikelihoodRegret(shifted, steps=20, decode_batch=112, seed=0, jit_compile=False)


def test_more_steps_find_a_better_posterior(shifted, regret):
    few = regret_of(shifted, steps=2)
    assert np.all(few > 0.0)
    assert np.all(regret(EXAMPLES) > few)


def test_an_image_has_the_same_regret_in_any_batch(shifted, regret):
    in_threes = regret_of(shifted, steps=20, decode_batch=16 * 3)
    np.testing.assert_allclose(in_threes, regret(EXAMPLES), rtol=1e-4)


def test_the_same_seed_gives_the_same_regret_and_another_seed_another(shifted, regret):
    first, again = regret(EXAMPLES), regret(EXAMPLES)
    np.testing.assert_array_equal(first, again)
    assert np.all(first != regret_of(shifted, steps=20, seed=1))


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [
        {"posterior": "full", "prior": "vamp"},
        {"conditional": True, "likelihood": "continuous_bernoulli"},
        {"network": "conv", "likelihood": "discretized_logistic"},
    ],
    ids=str,
)
def test_in_every_model_the_bound_does_not_fall(settings):
    small = {"network": "mlp", "encoder_units": (8,), "latent_dim": 2, "prior_components": 3}
    config = Config.from_flat({**small, **settings})
    model = assembly.build_float32_model(config, (8, 8, 1), num_classes=3)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 0]))
    image = GENERATOR.integers(0, 256, [4, 8, 8, 1]).astype(np.uint8)
    examples = Examples(image, np.array([0, 1, 2, -1], np.int32))
    weights = [variable.numpy() for variable in model.variables]
    regret = regret_of(model, examples, steps=60, decode_batch=64)
    assert np.all(regret > 0.0)
    for variable, before in zip(model.variables, weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), before)


def test_which_posteriors_are_gaussian():
    settings = {"network": "mlp", "encoder_units": (8,), "latent_dim": 2}
    for posterior, wanted in {"diagonal": True, "full": True, "iaf": False}.items():
        config = Config.from_flat({**settings, "posterior": posterior})
        assert has_gaussian_posterior(assembly.build_float32_model(config, (8, 8, 1))) == wanted
    sparse = Config.from_flat({**settings, "model": "sparse_autoencoder"})
    assert not has_gaussian_posterior(assembly.build_float32_model(sparse, (8, 8, 1)))
