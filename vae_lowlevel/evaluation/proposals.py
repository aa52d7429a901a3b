"""Distributions r(z|x) from which importance sampling draws z."""

from __future__ import annotations

import math
from collections.abc import Callable

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.evaluation.descent import minimize
from vae_lowlevel.randomness import ALGORITHM, fold
from vae_lowlevel.types import ConditionedVAE

tfb = tfp.bijectors
tfd = tfp.distributions

# Noise [S, B, D] of N(0, 1) -> z [S, B, D] and log r(z|x) [S, B].
Draw = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]
# z [S, B, D] -> log p(x, z) [S, B], of the images in question.
LogJoint = Callable[[tf.Tensor], tf.Tensor]
# (model, image [B, H, W, C], its log_joint, seed int32 [2]) -> how z is drawn for these images.
Proposal = Callable[[ConditionedVAE, tf.Tensor, LogJoint, tf.Tensor], Draw]

# The z of each image that fitting decodes at a time.
FEWEST_DRAWS = 2
# Of the fitted Gaussian: draws of q(z|x) that give its start, and steps of Adam.
_START_DRAWS, _STEPS = 64, 50
_LEAST_DEVIATION = 1e-6
# The least curvature in any direction, in units of the diagonal Gaussian's precision: a deviation
# is at most sqrt(5) of its own. Where log p(x, z) is flat, or not concave, nothing else bounds it.
_LEAST_CURVATURE = 0.2
_LOG_2PI = math.log(2.0 * math.pi)


def draw_from_posterior(
    model: ConditionedVAE, image: tf.Tensor, log_joint: LogJoint, seed: tf.Tensor
) -> Draw:
    """Returns draws from q(z|x), as the encoder gives it."""
    del log_joint, seed
    posterior = model.encode(image)
    return lambda noise: model.sample_and_log_prob(posterior, noise)


def draw_from_fitted(
    model: ConditionedVAE, image: tf.Tensor, log_joint: LogJoint, seed: tf.Tensor
) -> Draw:
    """Returns draws from a Gaussian that is fitted to p(z|x) of each image, with all covariances.

    The encoder was trained on other images, and is often diagonal. Here, Adam first ascends the
    ELBO of each image over the means and the deviations of a diagonal Gaussian, which begins with
    those of q(z|x). The precision matrix of the proposal is then the curvature of -log p(x, z)
    over one of these deviations around the mean: differences of gradients, so that the model needs
    first derivatives only.

    If the prior is a flow, as that of a ladder is, the Gaussian is one of the flow's noise, in
    which p(z|x) is closer to a Gaussian: the deviations of a level depend on the levels above.

    What is fitted depends on the seed, but not on the noise of the draws: the estimate with them
    is a lower bound as with any other proposal.

    References:
        Tierney, Kadane, "Accurate Approximations for Posterior Moments and Marginal Densities",
        1986, for Gaussians by curvature; Cremer, Li, Duvenaud, "Inference Suboptimality in
        Variational Autoencoders", 2018, for a posterior of each image's own.
    """
    prior = model.prior()
    is_transformed = isinstance(prior, tfd.TransformedDistribution)
    flow = prior.bijector if is_transformed else tfb.Identity()

    def log_joint_of_noise(u: tf.Tensor) -> tf.Tensor:
        return log_joint(flow.forward(u)) + flow.forward_log_det_jacobian(u, 1)

    shape = [_START_DRAWS, image.shape[0], model.latent_dim]
    noise = tf.random.stateless_normal(shape, fold(seed, "start"), alg=ALGORITHM)
    draws, _ = model.sample_and_log_prob(model.encode(image), noise)
    mean, deviation = _fit_diagonal(log_joint_of_noise, flow.inverse(draws), seed)
    curvature = _measure_curvature(log_joint_of_noise, mean, deviation)
    values, vectors = tf.linalg.eigh(curvature)
    values = tf.maximum(values, _LEAST_CURVATURE)
    scale = deviation[:, :, None] * vectors * tf.math.rsqrt(values)[:, None, :]
    log_scale = tf.reduce_sum(tf.math.log(deviation) - 0.5 * tf.math.log(values), -1)

    def draw(noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        u = mean + tf.einsum("bij,sbj->sbi", scale, noise)
        log_det = flow.forward_log_det_jacobian(u, 1)
        return flow.forward(u), _log_density(noise) - log_scale - log_det

    return draw


PROPOSALS: dict[str, Proposal] = {"posterior": draw_from_posterior, "fitted": draw_from_fitted}


def _fit_diagonal(
    log_joint: LogJoint, draws: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the means and deviations [B, D] of the diagonal Gaussian with the best ELBO.

    It starts with those of draws [S, B, D].
    """
    shape = draws.shape[1:]
    start = tf.reduce_mean(draws, 0)
    unit = tf.maximum(tf.math.reduce_std(draws, 0), _LEAST_DEVIATION)

    def place(parameters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """From changes in units of the start's deviations, and factors of them."""
        shift, log_factor = tf.split(parameters, 2, -1)
        return start + unit * shift, unit * tf.math.exp(log_factor)

    def negative_elbo(parameters: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        mean, deviation = place(parameters)
        step_seed = fold(fold(seed, "step"), step)
        noise = deviation * tf.random.stateless_normal(shape, step_seed, alg=ALGORITHM)
        z = tf.stack([mean - noise, mean + noise])
        return -tf.reduce_mean(log_joint(z), 0) - tf.reduce_sum(tf.math.log(deviation), -1)

    zeros = tf.zeros([shape[0], 2 * shape[1]])
    return place(minimize(negative_elbo, zeros, _STEPS))


def _measure_curvature(log_joint: LogJoint, mean: tf.Tensor, deviation: tf.Tensor) -> tf.Tensor:
    """Returns the curvature of -log p(x, z) in units of 1 / deviation^2, [B, D, D].

    Of each pair of dimensions: (g_j(mean - deviation_i) - g_j(mean + deviation_i)) / 2, with the
    gradient g of log p(x, z), and made symmetric.
    """
    rows, size = mean.shape

    def add_row(index: tf.Tensor, found: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
        step = tf.one_hot(index, size) * deviation
        z = tf.stack([mean - step, mean + step])
        with tf.GradientTape() as tape:
            tape.watch(z)
            value = log_joint(z)
        gradient = tape.gradient(value, z) * deviation
        return index + 1, found.write(index, 0.5 * (gradient[0] - gradient[1]))

    _, found = tf.while_loop(
        lambda index, _: index < size,
        add_row,
        (tf.constant(0), tf.TensorArray(tf.float32, size, element_shape=[rows, size])),
        maximum_iterations=size,
        parallel_iterations=1,
    )
    matrix = tf.transpose(found.stack(), [1, 0, 2])
    return 0.5 * (matrix + tf.linalg.matrix_transpose(matrix))


def _log_density(noise: tf.Tensor) -> tf.Tensor:
    """Computes log N(noise; 0, I), [..., D] -> [...]."""
    return -0.5 * tf.reduce_sum(tf.math.square(noise) + _LOG_2PI, -1)
