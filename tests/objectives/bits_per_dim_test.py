from __future__ import annotations

import collections

import numpy as np
import tensorflow as tf

from vae_lowlevel.objectives.bits_per_dim import WithBitsPerDim
from vae_lowlevel.types import Batch

Terms = collections.namedtuple("Terms", ("loss", "elbo"))


class Objective:
    terms = Terms._fields
    schedules = "schedules"

    def score(self, means):
        return means["elbo"]

    def __call__(self, model, batch, noise, step, global_mean):
        assert (model, noise, step, global_mean) == ("model", "noise", 3, "mean")
        return Terms(tf.constant([1.0, 2.0]), tf.constant([-8.0 * 24 * np.log(2), -12.0]))


def test_adds_the_bits_of_each_value():
    objective = WithBitsPerDim(Objective())
    batch = Batch(tf.zeros([2, 2, 4, 3]), tf.zeros([2], tf.int32))
    terms = objective("model", batch, "noise", 3, "mean")
    assert terms._fields == objective.terms == ("loss", "elbo", "bpd")
    np.testing.assert_array_equal(terms.loss, [1, 2])
    # 24 values an image: a uniform guess among 256 levels takes 8 bits each.
    np.testing.assert_allclose(terms.bpd, [8.0, 12 / (24 * np.log(2))], rtol=1e-6)
    assert objective.schedules == "schedules"
    assert objective.score({"elbo": -2.0}) == -2.0
