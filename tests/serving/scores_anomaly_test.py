"""Which score is the anomaly score, and the bias correction against every decoder output."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import special

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig
from vae_lowlevel.config.export import ANOMALY_SCORES as CHOICES
from vae_lowlevel.distributions.likelihoods import (
    BernoulliLikelihood,
    ContinuousBernoulliLikelihood,
    DiscretizedLogisticLikelihood,
    FixedScale,
    GaussianLikelihood,
    LearnedScale,
    PixelScale,
)
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.serving.scores import ANOMALY_SCORES, best_log_prob, best_log_probs
from vae_lowlevel.serving.signatures import ServingModel

X = np.arange(256) / 255.0
SMALLEST_SCALE = np.exp(-5.0)
LIKELIHOODS = {
    "bernoulli": lambda: BernoulliLikelihood(),
    "continuous_bernoulli": lambda: ContinuousBernoulliLikelihood(),
    "gaussian": lambda: GaussianLikelihood(FixedScale(0.2)),
    "gaussian_learned": lambda: GaussianLikelihood(LearnedScale(0.05)),
    "gaussian_pixel": lambda: GaussianLikelihood(PixelScale(0.1)),
    "logistic": lambda: DiscretizedLogisticLikelihood(FixedScale(0.05)),
    "logistic_pixel": lambda: DiscretizedLogisticLikelihood(PixelScale(0.1)),
}


def continuous_bernoulli(logit, x):
    """log p(x) = log(logit / (exp(logit) - 1)) + logit x, in float64."""
    # By the symmetry p(x; logit) = p(1 - x; -logit), with a logit that is not positive.
    x, size = np.where(logit > 0, 1.0 - x, x), np.abs(logit)
    return np.log(size) - np.log(-np.expm1(-size)) - size * x


def closed_form(name):
    if name == "bernoulli":
        return special.xlogy(X, X) + special.xlogy(1 - X, 1 - X)
    if name == "continuous_bernoulli":
        # Every logit within the bounds, densely.
        size = np.geomspace(1e-3, 510.0, 20_001)
        logit = np.concatenate([-size[::-1], size])
        return np.max(continuous_bernoulli(logit, X[:, None]), -1)
    scale = {"gaussian": 0.2, "gaussian_learned": 0.05, "logistic": 0.05}.get(name, SMALLEST_SCALE)
    if name.startswith("gaussian"):
        return np.full(256, -np.log(scale) - 0.5 * np.log(2 * np.pi))
    # The mass of the level's bin around loc = x; the bins of 0 and 1 have no outer edge.
    mass = 2 * special.expit(0.5 / 255 / scale) - 1 + np.zeros(256)
    mass[[0, -1]] = special.expit(0.5 / 255 / scale)
    return np.log(mass)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_the_best_log_probability_of_each_grey_level_is_the_closed_form(name):
    np.testing.assert_allclose(best_log_probs(LIKELIHOODS[name]()), closed_form(name), atol=2e-4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_no_decoder_output_is_better_and_one_is_as_good(name):
    """All grey levels under 2000 logits, and scales where the decoder has them."""
    likelihood = LIKELIHOODS[name]()
    best = best_log_probs(likelihood)
    logits = np.concatenate([np.linspace(-60, 60, 1900), np.linspace(-510, 510, 101)])
    logits = np.concatenate([logits, special.logit(X[1:-1])])
    found = np.full(256, -np.inf)
    for raw in (-100.0, -20.0, 0.0, 3.0)[: 4 if likelihood.parameters_per_value == 2 else 1]:
        parameters = np.stack([logits, np.full_like(logits, raw)], -1)
        parameters = parameters[:, None, None, : likelihood.parameters_per_value]
        distribution = likelihood(tf.constant(parameters, tf.float32)).distribution
        image = tf.constant(X.reshape([256, 1, 1, 1, 1]), tf.float32)
        found = np.maximum(found, distribution.log_prob(image).numpy().max((1, 2, 3, 4)))
    assert np.all(found <= best + 1e-4)
    np.testing.assert_allclose(found, best, atol=5e-3)


def test_the_continuous_bernoulli_is_bounded_where_its_mean_is_half_a_level_from_the_end():
    best = best_log_probs(ContinuousBernoulliLikelihood())
    assert best[0] == best[255] == pytest.approx(np.log(510.0), abs=1e-5)
    distribution = ContinuousBernoulliLikelihood()(tf.fill([1, 1, 1, 1], -510.0))
    assert float(distribution.mean()[0, 0, 0, 0]) == pytest.approx(0.5 / 255, rel=1e-4)
    # In the middle a uniform density is best.
    assert best[127] == pytest.approx(0.0, abs=1e-4)


def test_the_best_log_probability_of_an_image_is_the_sum_over_its_pixels():
    image = np.random.default_rng(0).integers(0, 256, [3, 4, 5, 2])
    table = best_log_probs(BernoulliLikelihood())
    found = best_log_prob(tf.constant(image / 255.0, tf.float32), table)
    np.testing.assert_allclose(found, table[image].sum((1, 2, 3)), rtol=1e-5)


def build(**settings):
    config = ModelConfig(
        network="mlp", latent_dim=2, encoder_units=(6,), decoder_units=(5,), **settings
    )
    model = assembly.build_model(config, (4, 3, 1), seed=0, num_classes=2)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.2 * tf.random.stateless_normal(variable.shape, [index, 0]))
    return model


@pytest.mark.parametrize("settings", [{}, {"conditional": True, "posterior": "full"}], ids=str)
def test_the_anomaly_score_is_the_one_of_its_name_and_the_rest_stays(settings):
    model = build(**settings)
    level = np.random.default_rng(0).integers(0, 256, [3, 4, 3, 1])
    inputs = {"image": (level / 255.0).astype(np.float32)}
    if settings:
        inputs["label"] = tf.constant([0, 1, -1])
    default = ServingModel(model).functions.score(inputs["image"], inputs.get("label"))
    grey = special.xlogy(X, X) + special.xlogy(1 - X, 1 - X)
    wanted = {
        None: -default["elbo"],
        "negative_elbo": -default["elbo"],
        "distortion": default["distortion"],
        "rate": default["rate"],
        "bias_corrected": -default["elbo"] + grey[level].sum((1, 2, 3)),
    }
    assert set(CHOICES) == set(ANOMALY_SCORES) == {name for name in wanted if name}
    for name, score in wanted.items():
        functions = ServingModel(model, anomaly_score=name).functions
        found = functions.score(inputs["image"], inputs.get("label"))
        assert set(found) == set(default)
        np.testing.assert_allclose(found["anomaly_score"], score, rtol=1e-5, atol=1e-5)
        for term in ("elbo", "distortion", "rate"):
            np.testing.assert_allclose(found[term], default[term], rtol=1e-6)
    assert ServingModel(model).anomaly_score == "negative_elbo"


def test_without_a_prior_there_is_only_the_distortion():
    model = build(model="sparse_autoencoder")
    assert ServingModel(model).anomaly_score == "distortion"
    assert ServingModel(model, anomaly_score="distortion").anomaly_score == "distortion"
    for name in ("negative_elbo", "rate", "bias_corrected"):
        with pytest.raises(ConfigError, match=f"--anomaly_score={name} needs a model with a prior"):
            ServingModel(model, anomaly_score=name)


def test_a_likelihood_of_more_outputs_is_refused():
    likelihood = BernoulliLikelihood()
    likelihood.parameters_per_value = 3
    with pytest.raises(ConfigError, match=r"at most 2 decoder outputs .*found 3"):
        best_log_probs(likelihood)
