"""Densities fitted to codes: against the density that the codes are from, and in an export."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.decomposition import encode_posteriors
from vae_lowlevel.experiment import samplers
from vae_lowlevel.experiment.samplers import (
    draw_codes,
    fit_density,
    fit_sampler,
)
from vae_lowlevel.randomness import make_seed
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import Dataset, Examples, to_unit

RNG = np.random.default_rng(0)
SMALL = {"network": "mlp", "encoder_units": (6,), "latent_dim": 2}


def build_model(**settings):
    config = Config.from_flat({**SMALL, **settings})
    model = assembly.build_float32_model(config, (5, 5, 1), num_classes=3)
    # Posteriors that differ from image to image.
    model.encoder.layers[-1].kernel.assign(4.0 * model.encoder.layers[-1].kernel)
    return model


def make_dataset(count=40):
    image = RNG.integers(0, 256, [count, 5, 5, 1]).astype(np.uint8)
    examples = Examples(image, np.arange(count, dtype=np.int32) % 3)
    return Dataset(examples, examples[:0], examples[:7], ("a", "b", "c"))


@pytest.fixture
def short_fit(monkeypatch):
    monkeypatch.setattr(samplers, "_STEPS", 500)


def test_a_mixture_is_found_from_its_codes(short_fit):
    """Three clusters: the held-out likelihood comes to that of the true density."""
    means = np.array([[-3.0, 0.0], [3.0, 1.0], [0.0, 4.0]])
    which = RNG.integers(0, 3, 6000)
    codes = (means[which] + 0.5 * RNG.normal(size=[6000, 2])).astype(np.float32)
    density = assembly.build_sampler("gmm", codes, components=6, seed=make_seed(0))
    found = fit_density(density, codes, make_seed(0))
    held_out = codes[:600]
    logs = [scipy.stats.norm.logpdf(held_out, mean, 0.5).sum(-1) for mean in means]
    true = (scipy.special.logsumexp(logs, 0) - np.log(3)).mean()
    assert found == pytest.approx(true, abs=0.05)
    assert found == pytest.approx(float(tf.reduce_mean(density().log_prob(held_out))), abs=1e-4)


@pytest.mark.long
def test_a_flow_finds_what_no_gaussian_has(short_fit):
    """A curved ridge: z_2 around z_1^2."""
    first = RNG.normal(size=[6000, 1])
    codes = np.concatenate([first, first**2 + 0.3 * RNG.normal(size=[6000, 1])], 1)
    codes = codes.astype(np.float32)
    density = assembly.build_sampler("flow", codes, components=1, seed=make_seed(0))
    found = fit_density(density, codes, make_seed(0))
    gaussian = scipy.stats.multivariate_normal(codes.mean(0), np.cov(codes, rowvar=False))
    true = scipy.stats.norm.logpdf(codes[:600, 0]).mean()
    true += scipy.stats.norm.logpdf(codes[:600, 1], codes[:600, 0] ** 2, 0.3).mean()
    assert gaussian.logpdf(codes[:600]).mean() < true - 1.0
    assert found > true - 0.3


@pytest.mark.parametrize("posterior", ["diagonal", "full"])
def test_aggregate_is_the_mean_of_the_posteriors(posterior):
    model, dataset = build_model(posterior=posterior), make_dataset()
    density = fit_sampler("aggregate", model, dataset, components=1, batch_size=16, seed=0)
    posteriors = model.encode(to_unit(dataset.train.image))
    z = tf.constant(RNG.normal(size=[5, 2]), tf.float32)
    expected = tf.reduce_logsumexp(posteriors.log_prob(z[:, None]), 1) - np.log(40)
    np.testing.assert_allclose(density().log_prob(z), expected, rtol=1e-4)
    assert not density.trainable_variables


def test_codes_are_draws_from_the_posteriors():
    model = build_model(conditional=True)
    examples = make_dataset().train[np.zeros(3000, np.int64)]
    codes = draw_codes(model, examples, batch_size=512, seed=0)
    posterior = model.conditioned_on(examples.label[:1]).encode(to_unit(examples.image[:1]))
    loc, scale = (value.numpy()[0] for value in (posterior.mean(), posterior.stddev()))
    np.testing.assert_allclose(codes.mean(0), loc, atol=5 * scale.max() / np.sqrt(3000))
    np.testing.assert_allclose(codes.std(0), scale, rtol=0.07)
    means, scales, *_ = encode_posteriors(model, padded_batches(examples[:3], 2), 2)
    np.testing.assert_allclose(means, np.tile(loc, [3, 1]), rtol=1e-5)
    np.testing.assert_allclose(scales, np.tile(scale, [3, 1]), rtol=1e-5)


@pytest.mark.long
def test_the_signature_sample_draws_from_the_sampler_and_scores_with_the_prior():
    model, dataset = build_model(), make_dataset()
    density = fit_sampler("aggregate", model, dataset, components=1, batch_size=16, seed=0)
    plain, serving = ServingModel(model), ServingModel(model, sampler=density)
    seeds = tf.range(2000, dtype=tf.int64)
    z = serving.sample(seeds)["z"].numpy()
    means, scales, *_ = encode_posteriors(model, padded_batches(dataset.train, 16), 16)
    np.testing.assert_allclose(z.mean(0), means.mean(0), atol=5 * z.std(0).max() / np.sqrt(2000))
    variance = means.var(0) + (scales**2).mean(0)
    np.testing.assert_allclose(z.var(0), variance, rtol=0.25)
    assert not np.allclose(z, plain.sample(seeds)["z"])
    image = to_unit(dataset.test.image)
    for name, value in plain.score(image).items():
        np.testing.assert_array_equal(serving.score(image)[name], value, err_msg=name)
    # At temperature 0, the means of the mixture's components.
    cold = serving.sample_with_temperature(seeds[:20], tf.zeros([20]))["z"].numpy()
    distances = np.abs(cold[:, None] - means).max(-1).min(1)
    np.testing.assert_allclose(distances, 0.0, atol=1e-6)


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        ("aggregate", {"posterior": "iaf"}, "no Gaussians; use --sampler=gmm or flow"),
        ("flow", {"latent_dim": 1}, "at least 2 latent dimensions, found 1"),
        ("gmm", {"model": "sparse_autoencoder"}, "sparse autoencoder is not; leave"),
    ],
)
def test_what_cannot_be_fitted_is_refused(kind, settings, message):
    model = build_model(**settings)
    with pytest.raises(ConfigError, match=message):
        fit_sampler(kind, model, make_dataset(), components=2, batch_size=16, seed=0)


def test_the_prior_needs_no_fit():
    assert fit_sampler("prior", None, None, components=1, batch_size=1, seed=0) is None
