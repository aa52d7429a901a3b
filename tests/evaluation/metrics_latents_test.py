import numpy as np
import pytest

from vae_lowlevel.evaluation.metrics import active_units, latent_statistics


def test_units_are_active_above_the_variance_of_burda():
    random = np.random.default_rng(0)
    z = random.standard_normal([20000, 3]) * np.array([1.0, 0.11, 0.09]) + 5
    assert active_units(z.astype(np.float32)) == 2


def test_statistics_of_each_dimension():
    first, second = latent_statistics(np.array([[0.0, 1.0], [2.0, 1.0]], np.float32))
    assert first == {"min": 0.0, "max": 2.0, "mean": 1.0, "std": pytest.approx(1.0)}
    assert second == {"min": 1.0, "max": 1.0, "mean": 1.0, "std": 0.0}
