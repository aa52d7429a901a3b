from __future__ import annotations

import numpy as np
import scipy.stats

from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.randomness import make_seed


def test_log_prob_is_that_of_the_standard_normal():
    z = np.array([[0.5, -1.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
    expected = scipy.stats.norm.logpdf(z).sum(-1)
    np.testing.assert_allclose(StandardPrior(3)().log_prob(z), expected, rtol=1e-6)


def test_draws_depend_on_the_seed_and_have_mean_0_and_variance_1():
    prior = StandardPrior(2)()
    z = prior.sample(4000, seed=make_seed(0)).numpy()
    assert z.shape == (4000, 2)
    assert scipy.stats.kstest(z.ravel(), "norm").pvalue > 0.01
    np.testing.assert_array_equal(prior.sample(4000, seed=make_seed(0)), z)
    assert not np.any(prior.sample(4000, seed=make_seed(1)).numpy() == z)
