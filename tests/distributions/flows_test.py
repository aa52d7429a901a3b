from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.flows import GATE_OFFSET, AutoregressiveStep, CouplingStep, Flow

tfd = tfp.distributions
RNG = np.random.default_rng(0)
B, D, H = 4, 5, 3
POINTS = RNG.normal(size=[B, D]).astype(np.float32)
CONTEXT = RNG.normal(size=[B, H]).astype(np.float32)
LOWER = np.tril(RNG.normal(size=[2, D, D]), -1).astype(np.float32)
OF_CONTEXT = RNG.normal(size=[H, D]).astype(np.float32)
COUPLING = RNG.normal(size=[D // 2, 2 * (D - D // 2)]).astype(np.float32)


@pytest.fixture
def x():
    return tf.constant(POINTS)


class Counted:
    """Counts the evaluations of a network."""

    def __init__(self, network):
        self.network = network
        self.calls = 0

    def __call__(self, *inputs):
        self.calls += 1
        return self.network(*inputs)


def autoregressive(x, context):
    """An autoregressive network in one line: strictly lower-triangular matrices."""
    m, s = (tf.math.tanh(tf.linalg.matvec(lower, x) + context @ OF_CONTEXT) for lower in LOWER)
    return m, s


def build(kind, steps=3):
    networks = [Counted(autoregressive if kind == "iaf" else coupling) for _ in range(steps)]
    if kind == "iaf":
        return Flow([AutoregressiveStep(network, CONTEXT) for network in networks]), networks
    return Flow([CouplingStep(network) for network in networks]), networks


def coupling(first):
    return tf.math.sin(first @ COUPLING)


@pytest.mark.parametrize("kind", ["iaf", "coupling"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_log_determinant_is_that_of_the_jacobian(x, kind, steps):
    flow, _ = build(kind, steps)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = flow.forward(x)
    jacobian = tape.batch_jacobian(y, x)
    _, log_det = np.linalg.slogdet(jacobian.numpy().astype(np.float64))
    np.testing.assert_allclose(
        flow.forward_log_det_jacobian(x, event_ndims=1), log_det, rtol=1e-4, atol=1e-5
    )
    fresh, _ = build(kind, steps)
    np.testing.assert_allclose(
        fresh.inverse_log_det_jacobian(tf.identity(y), event_ndims=1),
        -log_det,
        rtol=1e-3,
        atol=1e-4,
    )


@pytest.mark.parametrize("jit_compile", [None, False, True])
@pytest.mark.parametrize("kind", ["iaf", "coupling"])
def test_inverse_undoes_forward(x, kind, jit_compile):
    def there_and_back(given):
        return build(kind)[0].inverse(build(kind)[0].forward(given))

    if jit_compile is not None:
        there_and_back = tf.function(there_and_back, jit_compile=jit_compile)
    np.testing.assert_allclose(there_and_back(x), x, rtol=1e-3, atol=1e-4)


def test_steps_in_between_see_the_dimensions_reversed(x):
    _, networks = build("coupling", 1)
    step = CouplingStep(networks[0])
    expected = step.forward(tf.reverse(step.forward(x)[0], [-1]))[0]
    np.testing.assert_allclose(build("coupling", 2)[0].forward(x), expected, rtol=1e-6)


def test_autoregressive_step_is_the_gated_sum_of_input_and_shift(x):
    y, log_det = AutoregressiveStep(autoregressive, CONTEXT).forward(x)
    m, s = (part.numpy().astype(np.float64) for part in autoregressive(x, CONTEXT))
    gate = 1 / (1 + np.exp(-(s + GATE_OFFSET)))
    np.testing.assert_allclose(y, gate * x + (1 - gate) * m, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(log_det, np.log(gate).sum(-1), rtol=1e-5)


def test_coupling_keeps_the_first_half_and_scales_and_shifts_the_second(x):
    y, log_det = CouplingStep(coupling).forward(x)
    shift, raw = np.split(coupling(x[:, : D // 2]).numpy(), 2, axis=-1)
    log_scale = 2 * np.tanh(raw / 2)
    np.testing.assert_array_equal(y[:, : D // 2], x[:, : D // 2])
    np.testing.assert_allclose(y[:, D // 2 :], x[:, D // 2 :] * np.exp(log_scale) + shift, 1e-5)
    np.testing.assert_allclose(log_det, log_scale.sum(-1), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("kind", ["iaf", "coupling"])
def test_value_and_log_determinant_and_density_of_a_draw_take_one_evaluation(x, kind):
    flow, networks = build(kind)
    standard = tfd.MultivariateNormalDiag(tf.zeros([B, D]), tf.ones([B, D]))
    distribution = tfd.TransformedDistribution(standard, flow)
    y = flow.forward(x)
    log_det = flow.forward_log_det_jacobian(x, event_ndims=1)
    log_prob = distribution.log_prob(y)
    assert [network.calls for network in networks] == [1, 1, 1]
    np.testing.assert_allclose(log_prob, standard.log_prob(x) - log_det, rtol=1e-5)
    # The same numbers without the tensors of the draw.
    fresh = tfd.TransformedDistribution(standard, build(kind)[0])
    np.testing.assert_allclose(fresh.log_prob(tf.identity(y)), log_prob, rtol=1e-3)


def test_coupling_density_of_any_z_takes_one_evaluation_per_step(x):
    flow, networks = build("coupling")
    standard = tfd.MultivariateNormalDiag(tf.zeros([D]), tf.ones([D]))
    tfd.TransformedDistribution(standard, flow).log_prob(x)
    assert [network.calls for network in networks] == [1, 1, 1]
