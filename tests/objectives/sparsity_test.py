from __future__ import annotations

import numpy as np
import pytest
import scipy.special
import scipy.stats
import tensorflow as tf

from vae_lowlevel.distributions.likelihoods import (
    BernoulliLikelihood,
    FixedScale,
    GaussianLikelihood,
)
from vae_lowlevel.models.sparse_autoencoder import SparseAutoencoder, SparseCode
from vae_lowlevel.objectives.sparsity import Sparsity, bernoulli_penalty
from vae_lowlevel.types import Batch

RNG = np.random.default_rng(0)
B, D, PIXELS = 4, 3, 6
IMAGE = RNG.uniform(size=[B, 2, 3, 1]).astype(np.float32)
TO_CODE = RNG.normal(size=[PIXELS, D]).astype(np.float32)
TO_LOGITS = RNG.normal(size=[D, PIXELS]).astype(np.float32)
LIKELIHOODS = {"bernoulli": BernoulliLikelihood(), "gaussian": GaussianLikelihood(FixedScale(1.0))}


def local_mean(values):
    return tf.reduce_mean(values, 0)


def kl(target, mean):
    """The divergence of two Bernoulli distributions, by SciPy's entropy."""
    return sum(scipy.stats.entropy([target, 1 - target], [m, 1 - m]) for m in mean)


def build_model(likelihood="gaussian", activation="sigmoid", to_code=TO_CODE):
    kernel = tf.Variable(to_code)
    model = SparseAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=D,
        encoder=lambda image: tf.reshape(image, [-1, PIXELS]) @ kernel,
        code=SparseCode(D, activation),
        decoder=lambda code: tf.reshape(code @ TO_LOGITS, [-1, 2, 3, 1]),
        likelihood=LIKELIHOODS[likelihood],
    )
    model.kernel = kernel
    return model


def evaluate(objective, model):
    batch = Batch(tf.constant(IMAGE), tf.zeros([B], tf.int32))
    return objective(model, batch, None, tf.constant(0), local_mean)


def reference_loss(to_code, target, weight):
    """Computes the mean loss of a sigmoid code and squared error in float64 from the formulas."""
    x = IMAGE.reshape(B, PIXELS).astype(np.float64)
    code = scipy.special.expit(x @ to_code)
    image = scipy.special.expit(code @ TO_LOGITS)
    reconstruction = -scipy.stats.norm.logpdf(x, image, 1.0).sum(-1).mean()
    return reconstruction + weight * kl(target, code.mean(0))


@pytest.mark.parametrize("target", [0.01, 0.05, 0.5])
def test_penalty_is_the_divergence_of_the_mean_activities(target):
    activity = RNG.uniform(0.01, 0.99, size=[B, D]).astype(np.float32)
    penalty = bernoulli_penalty(tf.constant(activity), target, local_mean)
    np.testing.assert_allclose(penalty, [kl(target, activity.mean(0))] * B, rtol=1e-4)


def test_penalty_is_nothing_where_every_unit_meets_the_target():
    activity = np.array([[0.1, 0.3], [0.3, 0.1]], np.float32)
    np.testing.assert_allclose(bernoulli_penalty(activity, 0.2, local_mean), [0, 0], atol=1e-6)


def test_penalty_of_silent_and_saturated_units_is_finite_with_a_gradient_towards_the_target():
    activity = tf.constant([[0.0, 1.0]] * B)
    with tf.GradientTape() as tape:
        tape.watch(activity)
        penalty = tf.reduce_mean(bernoulli_penalty(activity, 0.05, local_mean))
    gradient = tape.gradient(penalty, activity).numpy()
    assert np.isfinite(penalty)
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient[:, 0] < 0)
    assert np.all(gradient[:, 1] > 0)


def test_gradient_needs_no_gradient_of_the_global_mean():
    """The gradients of two replicas, each of its half, add up to the gradient of the batch."""
    activity = RNG.uniform(0.01, 0.99, size=[B, D]).astype(np.float32)
    whole = tf.constant(activity.mean(0))
    gradients = []
    for half in (activity[: B // 2], activity[B // 2 :]):
        half = tf.constant(half)
        with tf.GradientTape() as tape:
            tape.watch(half)
            penalty = bernoulli_penalty(half, 0.05, lambda values: whole)
            loss = tf.reduce_sum(penalty) / B
        gradients.append(tape.gradient(loss, half))
    mean = activity.mean(0)
    expected = (-0.05 / mean + 0.95 / (1 - mean)) / B
    np.testing.assert_allclose(tf.concat(gradients, 0), np.tile(expected, [B, 1]), rtol=1e-4)


@pytest.mark.parametrize("weight", [0.0, 3.0])
def test_loss_and_its_gradient_match_the_formulas(weight):
    model = build_model()
    objective = Sparsity(target=0.05, weight=weight)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(evaluate(objective, model).loss)
    gradient = tape.gradient(loss, model.kernel)
    start, step = TO_CODE.astype(np.float64), 1e-5
    assert float(loss) == pytest.approx(reference_loss(start, 0.05, weight), rel=1e-5)
    expected = np.zeros_like(start)
    for index in np.ndindex(start.shape):
        moved = np.zeros_like(start)
        moved[index] = step
        up, down = (reference_loss(start + sign * moved, 0.05, weight) for sign in (1, -1))
        expected[index] = (up - down) / (2 * step)
    np.testing.assert_allclose(gradient, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_terms_follow_their_formulas(likelihood, reduction):
    objective = Sparsity(target=0.05, weight=3.0, pixel_reduction=reduction)
    terms = evaluate(objective, build_model(likelihood))
    x = IMAGE.reshape(B, PIXELS)
    code = scipy.special.expit(x @ TO_CODE)
    image = scipy.special.expit(code @ TO_LOGITS)
    mse = ((image - x) ** 2).mean(-1)
    if likelihood == "bernoulli":
        nats = -(x * np.log(image) + (1 - x) * np.log(1 - image)).sum(-1)
        a_pixel = nats / PIXELS
    else:
        nats, a_pixel = -scipy.stats.norm.logpdf(x, image, 1.0).sum(-1), mse
    expected = {
        "reconstruction": nats if reduction == "sum" else a_pixel,
        "penalty": np.full([B], kl(0.05, code.mean(0))),
        "mean_activation": code.mean(-1),
        "mse": mse,
        "psnr": -10 * np.log10(mse),
    }
    expected = {"loss": expected["reconstruction"] + 3.0 * expected["penalty"], **expected}
    assert terms._fields == objective.terms == tuple(expected)
    for name, value in terms._asdict().items():
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected[name], rtol=1e-4, err_msg=name)


def test_means_are_reported_as_they_are_and_nothing_is_scheduled():
    objective = Sparsity(target=0.05, weight=3.0)
    assert objective.report({"loss": 2.0, "psnr": 30.0}) == {"loss": 2.0, "psnr": 30.0}
    assert objective.schedules == {}
