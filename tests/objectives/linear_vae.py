"""A VAE of linear maps on six pixels, small enough to compute by hand."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.distributions.likelihoods import (
    BernoulliLikelihood,
    FixedScale,
    GaussianLikelihood,
)
from vae_lowlevel.distributions.posteriors import DiagonalPosterior
from vae_lowlevel.distributions.priors import StandardPrior
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.randomness import BatchNoise, make_seed
from vae_lowlevel.types import Batch

RNG = np.random.default_rng(0)
B, D, PIXELS = 4, 2, 6
IMAGE = RNG.uniform(size=[B, 2, 3, 1]).astype(np.float32)
TO_POSTERIOR = RNG.normal(scale=0.7, size=[PIXELS, 2 * D]).astype(np.float32)
TO_LOGITS = RNG.normal(size=[D, PIXELS]).astype(np.float32)
SCALE = 0.5
LIKELIHOODS = {
    "bernoulli": BernoulliLikelihood(),
    "gaussian": GaussianLikelihood(FixedScale(SCALE)),
}


def make_noise(first_row=0, rows=B):
    return BatchNoise(make_seed(0), first_row, rows, B)


class LinearMap(tf.Module):
    def __init__(self, kernel, out_shape):
        super().__init__()
        self.kernel = tf.Variable(kernel)
        self.out_shape = out_shape

    def __call__(self, x):
        flat = tf.reshape(x, [-1, self.kernel.shape[0]])
        return tf.reshape(flat @ self.kernel, [-1, *self.out_shape])


def build_model(likelihood, to_posterior=TO_POSTERIOR):
    return VariationalAutoencoder(
        image_shape=(2, 3, 1),
        latent_dim=D,
        encoder=LinearMap(to_posterior, [2 * D]),
        posterior=DiagonalPosterior(D),
        prior=StandardPrior(D),
        decoder=LinearMap(TO_LOGITS, [2, 3, 1]),
        likelihood=LIKELIHOODS[likelihood],
    )


def local_mean(values):
    return tf.reduce_mean(values, 0)


def evaluate(objective, model, step=0, global_mean=local_mean):
    batch = Batch(tf.constant(IMAGE), tf.zeros([B], tf.int32))
    return objective(model, batch, make_noise(), tf.constant(step, tf.int64), global_mean)


def loss_gradients(objective, model, global_mean=local_mean):
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(evaluate(objective, model, global_mean=global_mean).loss)
    gradients = tape.gradient(loss, [model.encoder.kernel, model.decoder.kernel])
    return [gradient.numpy() for gradient in gradients]
