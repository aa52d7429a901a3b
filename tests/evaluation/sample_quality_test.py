"""The distance of samples against SciPy and closed forms, and the comparison of densities."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.evaluation.sample_quality import SampleQuality, frechet_distance
from vae_lowlevel.types import Examples

tfd = tfp.distributions
RNG = np.random.default_rng(0)


def test_distance_is_that_of_the_formula_with_scipys_root():
    a = RNG.normal(size=[50, 4]) @ RNG.normal(size=[4, 4])
    b = RNG.normal(size=[60, 4]) @ RNG.normal(size=[4, 4]) + 1.0
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2)
    expected += np.trace(covariances[0] + covariances[1] - 2 * root)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-9)


def test_distance_of_a_shift_is_its_square_and_of_a_set_from_itself_zero():
    a = RNG.normal(size=[30, 3])
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    assert frechet_distance(a, a + np.array([3.0, 0.0, 4.0])) == pytest.approx(25.0)
    # Of scales, the squared difference of standard deviations; also where one has no variance.
    assert frechet_distance(a[:, :1], 3 * a[:, :1] - 2 * a[:, :1].mean()) == pytest.approx(
        4 * np.var(a[:, 0], ddof=1)
    )
    flat = np.zeros([10, 3])
    expected = np.trace(np.cov(a, rowvar=False)) + np.sum(a.mean(0) ** 2)
    assert frechet_distance(a, flat) == pytest.approx(expected)


@pytest.fixture(scope="module")
def quality():
    """Of a model whose decoder was not trained, and test codes around (2, 0)."""
    config = Config.from_flat({"network": "mlp", "encoder_units": (4,), "latent_dim": 2})
    model = assembly.build_float32_model(config, (6, 6, 1))
    codes = RNG.normal([2.0, 0.0], 0.5, size=[70, 2]).astype(np.float32)
    images = model.decode(tf.constant(codes)).mean().numpy()
    pixels = np.round(255 * images).astype(np.uint8)
    examples = Examples(pixels, np.full(70, -1, np.int32))
    return SampleQuality(model, examples, examples, codes, batch_size=32, seed=0), codes


def test_the_density_of_the_codes_beats_one_elsewhere(quality):
    measure, _ = quality
    own, other = (
        measure(lambda loc=loc: tfd.MultivariateNormalDiag([loc, 0.0], [0.5, 0.5]))
        for loc in (2.0, -2.0)
    )
    assert own["code_nll"] < other["code_nll"] - 10.0
    assert own["frechet_distance"] < 0.2 * other["frechet_distance"]


def test_code_nll_is_the_mean_log_density(quality):
    measure, codes = quality
    density = tfd.MultivariateNormalDiag([1.0, 0.5], [1.0, 2.0])
    expected = -float(tf.reduce_mean(density.log_prob(codes)))
    assert measure(lambda: density)["code_nll"] == pytest.approx(expected, rel=1e-5)
