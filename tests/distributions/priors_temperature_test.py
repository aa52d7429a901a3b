from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.flows import FlowDistribution
from vae_lowlevel.distributions.priors import tempered

tfb, tfd = tfp.bijectors, tfp.distributions

LOC = np.array([1.0, -2.0], np.float32)
SEED = [1, 2]


def diagonal():
    return tfd.MultivariateNormalDiag(LOC, [1.5, 0.5])


def full():
    return tfd.MultivariateNormalTriL(LOC, [[1.5, 0.0], [0.7, 0.5]])


def mixture():
    components = tfd.MultivariateNormalDiag([[5.0, 0.0], [-5.0, 0.0]], [[1.0, 2.0], [2.0, 1.0]])
    return tfd.MixtureSameFamily(tfd.Categorical(probs=[0.3, 0.7]), components)


def flow():
    base = tfd.MultivariateNormalDiag([0.0, 0.0], [1.0, 1.0])
    return FlowDistribution(base, tfb.Chain([tfb.Shift([3.0, 3.0]), tfb.Exp()]))


@pytest.mark.parametrize("make", [diagonal, full, mixture, flow])
def test_temperature_1_draws_the_same(make):
    same = tempered(make(), tf.constant(1.0)).sample(5, seed=SEED)
    np.testing.assert_array_equal(same, make().sample(5, seed=SEED))


@pytest.mark.parametrize("make", [diagonal, full])
@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
def test_the_deviations_of_a_gaussian_are_multiplied(make, temperature):
    drawn = tempered(make(), temperature).sample(5, seed=SEED)
    wanted = LOC + temperature * (make().sample(5, seed=SEED) - LOC)
    np.testing.assert_allclose(drawn, wanted, rtol=1e-5, atol=1e-6)


def test_a_mixture_keeps_its_weights_and_scales_its_components():
    drawn = tempered(mixture(), 0.0).sample(2000, seed=SEED).numpy()
    assert np.isin(drawn[:, 0], [5.0, -5.0]).all()
    np.testing.assert_array_equal(drawn[:, 1], 0.0)
    assert abs(np.mean(drawn[:, 0] == 5.0) - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 2000)


def test_a_flow_scales_its_base():
    noise = np.log(flow().sample(5, seed=SEED) - 3.0)
    drawn = tempered(flow(), 0.5).sample(5, seed=SEED)
    np.testing.assert_allclose(drawn, 3.0 + np.exp(0.5 * noise), rtol=1e-5)


def test_others_are_refused_by_name():
    with pytest.raises(TypeError, match="no temperature is defined for a Categorical"):
        tempered(tfd.Categorical(probs=[0.5, 0.5]), 1.0)
