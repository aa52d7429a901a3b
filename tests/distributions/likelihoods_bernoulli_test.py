from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.likelihoods import Bernoulli

LOGITS = np.array([-90.0, -20.0, -1.5, 0.0, 0.3, 4.0, 30.0, 90.0])


def log_prob_and_gradient(distribution, logits, x):
    logits = tf.constant(logits)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_prob = distribution(logits=logits, dtype=logits.dtype).log_prob(x)
    return log_prob, tape.gradient(log_prob, logits)


@pytest.mark.parametrize("x", [0.0, 0.25, 1.0])
@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"), [(np.float32, 1e-5, 3e-7), (np.float64, 1e-12, 1e-14)]
)
def test_density_and_its_gradient_are_those_of_tensorflow_probability(x, dtype, rtol, atol):
    found = log_prob_and_gradient(Bernoulli, LOGITS.astype(dtype), dtype(x))
    expected = log_prob_and_gradient(tfp.distributions.Bernoulli, LOGITS, x)
    for value, of_tfp in zip(found, expected, strict=True):
        assert value.dtype == dtype
        np.testing.assert_allclose(value, of_tfp, rtol=rtol, atol=atol)


def test_events_may_be_integers_and_parameters_probabilities():
    distribution = Bernoulli(probs=[0.25, 0.9])
    np.testing.assert_allclose(distribution.log_prob([0, 1]), np.log([0.75, 0.9]), rtol=1e-6)
