from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.optimizers.adam import Adam

RNG = np.random.default_rng(0)
SHAPES = [(3, 2), (2,)]
START = [RNG.normal(size=shape) for shape in SHAPES]
GRADIENTS = [[RNG.normal(size=shape) for shape in SHAPES] for _ in range(6)]
RATES = [0.1, 0.2, 0.05, 0.1, 0.3, 0.1]


def reference(beta1, beta2, epsilon, skipped=()):
    """Runs Adam in float64 by the formulas of its docstring; returns the variables."""
    variables = [start.copy() for start in START]
    m = [np.zeros(shape) for shape in SHAPES]
    v = [np.zeros(shape) for shape in SHAPES]
    t = 0
    for step, (gradients, rate) in enumerate(zip(GRADIENTS, RATES, strict=True)):
        if step in skipped:
            continue
        t += 1
        for i, gradient in enumerate(gradients):
            m[i] = beta1 * m[i] + (1 - beta1) * gradient
            v[i] = beta2 * v[i] + (1 - beta2) * gradient**2
            corrected = rate * np.sqrt(1 - beta2**t) / (1 - beta1**t)
            variables[i] -= corrected * m[i] / (np.sqrt(v[i]) + epsilon)
    return variables


def make_variables():
    return [tf.Variable(start, dtype=tf.float32) for start in START]


def apply(adam, variables, step, is_finite=True):
    gradients = [tf.constant(g, tf.float32) * float(is_finite) for g in GRADIENTS[step]]
    adam.apply(variables, gradients, tf.constant(RATES[step]), tf.constant(is_finite))


@pytest.mark.parametrize(
    "settings",
    [
        {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7},
        {"beta1": 0.0, "beta2": 0.9, "epsilon": 0.1},
        {"beta1": 0.5, "beta2": 0.0, "epsilon": 1e-3},
    ],
)
def test_steps_match_the_formulas_in_float64(settings):
    variables = make_variables()
    adam = Adam(variables, **settings)
    for step in range(len(GRADIENTS)):
        apply(adam, variables, step)
    for variable, expected in zip(variables, reference(**settings), strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-5)
    assert int(adam.updates) == len(GRADIENTS)


def test_first_step_moves_by_the_learning_rate_against_the_sign():
    variable = tf.Variable([1.0, 1.0, 1.0])
    gradient = tf.constant([1e-3, -20.0, 0.0])
    Adam([variable]).apply([variable], [gradient], tf.constant(0.1), tf.constant(True))
    # m / sqrt(v) is the sign of the gradient, up to epsilon = 1e-7.
    np.testing.assert_allclose(variable, [0.9, 1.1, 1.0], atol=1e-3)


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("skipped", [0, 3])
def test_skipped_step_changes_nothing_bit_for_bit(skipped, jit_compile):
    settings = {"beta1": 0.9, "beta2": 0.99, "epsilon": 1e-7}
    variables = make_variables()
    adam = Adam(variables, **settings)

    @tf.function(jit_compile=jit_compile)
    def update(gradients, rate, is_finite):
        adam.apply(variables, gradients, rate, is_finite)

    for step, (gradients, rate) in enumerate(zip(GRADIENTS, RATES, strict=True)):
        is_finite = step != skipped
        tensors = [tf.constant(g if is_finite else 0 * g, tf.float32) for g in gradients]
        before = [variable.numpy().tobytes() for variable in [*variables, *adam.variables]]
        update(tensors, tf.constant(rate), tf.constant(is_finite))
        after = [variable.numpy().tobytes() for variable in [*variables, *adam.variables]]
        assert (after == before) == (step == skipped)
    assert int(adam.updates) == len(GRADIENTS) - 1
    # The following steps are as if there had been no skipped step.
    for variable, expected in zip(variables, reference(**settings, skipped={skipped}), strict=True):
        np.testing.assert_allclose(variable, expected, rtol=1e-4, atol=1e-5)


def test_bias_correction_stays_exact_after_many_updates():
    variable = tf.Variable([1.0])
    adam = Adam([variable])
    adam.updates.assign(10**9)
    adam.m[0].assign([0.5])
    adam.v[0].assign([4.0])
    adam.apply([variable], [tf.constant([0.5])], tf.constant(0.1), tf.constant(True))
    second_moment = 0.999 * 4.0 + 0.001 * 0.25
    np.testing.assert_allclose(variable, [1 - 0.1 * 0.5 / np.sqrt(second_moment)], rtol=1e-6)


def test_moments_are_float32_zeros_of_the_shapes_and_are_not_trained():
    variables = make_variables()
    adam = Adam(variables)
    for slots in (adam.m, adam.v):
        for slot, variable in zip(slots, variables, strict=True):
            assert slot.shape == variable.shape
            assert not np.any(slot)
    assert adam.trainable_variables == ()
    assert len(adam.variables) == 1 + 2 * len(variables)


def test_another_number_of_gradients_is_refused():
    variables = make_variables()
    with pytest.raises(ValueError, match="zip"):
        Adam(variables).apply(variables, [tf.zeros(SHAPES[0])], tf.constant(0.1), tf.constant(True))
