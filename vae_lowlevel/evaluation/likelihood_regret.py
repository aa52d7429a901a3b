"""Likelihood regret: how much the bound of one image gains from a posterior of its own."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.descent import minimize
from vae_lowlevel.evaluation.likelihood import compute_in_batches
from vae_lowlevel.randomness import ALGORITHM, fold, make_seed
from vae_lowlevel.types import Examples, Model, ProgressBar, stored_spec, to_unit

# Draws of z per image and step, and those that compare the bounds before and after.
_STEP_DRAWS = 2
_FINAL_DRAWS = 16


class LikelihoodRegret:
    """Computes ELBO(x; q*) - ELBO(x; q(z|x)), q* the best posterior of the image alone.

    An encoder is trained on normal images. For an image unlike them, its posterior may be far from
    the best one, so that the bound gains much from a posterior of its own; a simple image that is
    likely under any posterior gains little. Adam ascends the bound from the encoder's parameters of
    each image; encoder, decoder and prior stay. This is the variant of the paper that optimises the
    parameters of q(z|x), which is cheaper than an encoder per image.

    Both bounds are means over the same 16 draws of noise, which are also those of every other
    image: a result does not depend on the images next to it. It is at least 0 up to the error of
    this estimate.

    Args:
        model: a model with a prior and a Gaussian posterior (`has_gaussian_posterior`), in float32.
        steps: of Adam.
        decode_batch: most z that are decoded at once, all images together: memory grows with it.
        seed: of the draws.
        jit_compile: whether XLA compiles the computation.

    References:
        Xiao, Yan, Amit, "Likelihood Regret: An Out-of-Distribution Detection Score For Variational
        Auto-encoder", 2020, eq. 5.
    """

    def __init__(
        self, model: Model, *, steps: int, decode_batch: int, seed: int, jit_compile: bool
    ) -> None:
        self._model = model
        self._steps = steps
        self._seed = fold(make_seed(seed), "likelihood_regret")
        self._rows = max(1, decode_batch // _FINAL_DRAWS)
        specs = [
            stored_spec(self._rows, model.image_shape),
            tf.TensorSpec([self._rows], tf.int32),
        ]
        self._regret = tf.function(
            self._compute_regret, input_signature=specs, autograph=False, jit_compile=jit_compile
        )

    def __call__(self, examples: Examples, progress: ProgressBar = iter) -> np.ndarray:
        """Returns the regret of each image in nats, float32 [N].

        Args:
            examples: N images, and the labels of a conditional model.
            progress: see `types.ProgressBar`.
        """
        return compute_in_batches(
            lambda image, label, number: self._regret(image, label), examples, self._rows, progress
        )

    def _compute_regret(self, image: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        model, image = self._model.conditioned_on(label), to_unit(image)
        prior = model.prior()

        def negative_elbo(parameters: tf.Tensor, draws: int, seed: tf.Tensor) -> tf.Tensor:
            """Of each image, with q(z|x) of these parameters [B, P]."""
            noise = tf.random.stateless_normal([draws, 1, model.latent_dim], seed, alg=ALGORITHM)
            noise = tf.broadcast_to(noise, [draws, self._rows, model.latent_dim])
            posterior = model.posterior(parameters)
            z, log_q = model.sample_and_log_prob(posterior, noise)
            distortion = -tf.reduce_mean(model.decode(z).log_prob(image), 0)
            if model.has_closed_form_kl:
                return distortion + tf.reduce_sum(model.kl_per_dimension(posterior), -1)
            return distortion + tf.reduce_mean(log_q - prior.log_prob(z), 0)

        def step_loss(parameters: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
            return negative_elbo(parameters, _STEP_DRAWS, fold(fold(self._seed, "step"), step))

        start = tf.cast(model.encoder(image), tf.float32)
        best = minimize(step_loss, start, self._steps)
        seed = fold(self._seed, "bounds")
        return negative_elbo(start, _FINAL_DRAWS, seed) - negative_elbo(best, _FINAL_DRAWS, seed)


def has_gaussian_posterior(model: Model) -> bool:
    """Returns whether q(z|x) is a Gaussian, as `LikelihoodRegret` needs it."""
    return model.has_prior and model.conditioned_on(tf.constant([-1])).posterior.is_gaussian
