"""Densities over latent codes, fitted after training, from which z is drawn in place of p(z).

The codes of the training set seldom fill the prior: draws from it then decode to images between the
codes that the decoder was trained on. A density of the codes themselves draws z where they are.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.data.batching import choose_examples, padded_batches, permutation
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.evaluation.decomposition import encode_posteriors
from vae_lowlevel.evaluation.likelihood_regret import has_gaussian_posterior
from vae_lowlevel.experiment.subject import progress_bar
from vae_lowlevel.optimizers.adam import Adam
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.randomness import ALGORITHM, fold, make_seed
from vae_lowlevel.types import Dataset, Examples, Model, to_unit

# Training images whose codes are fitted; enough for a density of some tens of dimensions.
MOST_CODES = 20_000
# Posteriors of the aggregate: each draw and each density is computed from all of them.
MOST_POSTERIORS = 1_000
HELD_OUT_FRACTION = 0.1

_STEPS, _CHECK_EVERY, _BATCH_SIZE, _LEARNING_RATE = 2_000, 100, 500, 5e-3


def fit_sampler(
    kind: str, model: Model, dataset: Dataset, *, components: int, batch_size: int, seed: int
) -> tf.Module | None:
    """Fits a density to the codes of training images, draws from q(z|x).

    gmm and flow are fitted by maximum likelihood; a tenth of the codes is held out, and the weights
    with the highest likelihood of these are kept. aggregate is not fitted: it is the mixture of the
    posteriors of 1000 training images.

    Args:
        kind: "prior", "gmm", "aggregate" or "flow".
        model: a model with a prior, float32.
        dataset: its training split has the images.
        components: Gaussians of gmm.
        batch_size: rows of an encoded batch.
        seed: of the choice of images, the draws and the fit.

    Returns:
        A module; called, it returns the distribution over float32 [D]. None for the prior.

    Raises:
        ConfigError: the density does not exist for this model.
        RunError: the fit became non-finite.
    """
    if kind == "prior":
        return None
    if not model.has_prior:
        raise ConfigError(
            f"--sampler={kind} needs a model that can be sampled, which a sparse autoencoder is "
            "not; leave --sampler out"
        )
    if kind == "aggregate" and not has_gaussian_posterior(model):
        raise ConfigError(
            "--sampler=aggregate is a mixture of Gaussian posteriors, but those of this model are "
            "no Gaussians; use --sampler=gmm or flow"
        )
    count = MOST_POSTERIORS if kind == "aggregate" else MOST_CODES
    examples = choose_examples(dataset.train, count, seed)
    if kind == "aggregate":
        batches = padded_batches(examples, batch_size)
        posteriors = encode_posteriors(model, batches, batch_size)
        scale = posteriors.scale if posteriors.scale_tril is None else posteriors.scale_tril
        return assembly.build_aggregate(posteriors.loc, scale)
    codes = draw_codes(model, examples, batch_size, seed)
    # Examples may be sorted, by class for example.
    codes = codes[permutation(len(codes), "codes", seed)]
    root = fold(make_seed(seed), "sampler")
    density = assembly.build_sampler(kind, codes, components=components, seed=root)
    fit_density(density, codes, root)
    return density


def fit_density(density: tf.Module, codes: np.ndarray, seed: tf.Tensor) -> float:
    """Maximizes the likelihood of codes by Adam; keeps the weights that are best on held-out codes.

    Args:
        density: called, it returns a distribution over float32 [D].
        codes: float32 [N, D], in random order.
        seed: int32 [2], of the batches.

    Returns:
        The mean log-density of the held-out codes, nats.

    Raises:
        RunError: it was never finite.
    """
    held_out_size = max(1, int(HELD_OUT_FRACTION * len(codes)))
    held_out, fitted = tf.constant(codes[:held_out_size]), tf.constant(codes[held_out_size:])
    variables = density.trainable_variables
    optimizer = Adam(variables)
    best_weights = [tf.Variable(variable, trainable=False) for variable in variables]
    best = tf.Variable(-np.inf, dtype=tf.float32)

    @tf.function
    def fit_block(first: tf.Tensor) -> None:
        for offset in tf.range(_CHECK_EVERY):
            step = first + offset
            rows = tf.random.stateless_uniform(
                [_BATCH_SIZE], fold(seed, step), 0, len(fitted), tf.int32, alg=ALGORITHM
            )
            with tf.GradientTape() as tape:
                loss = -tf.reduce_mean(density().log_prob(tf.gather(fitted, rows)))
            safe = clip_gradients(tape.gradient(loss, variables), clip_norm=100.0)
            # The rate falls linearly, so that the last steps settle.
            rate = _LEARNING_RATE * (1.0 - tf.cast(step, tf.float32) / _STEPS)
            optimizer.apply(variables, safe.gradients, rate, safe.is_finite)
        log_prob = tf.reduce_mean(density().log_prob(held_out))
        if log_prob > best:
            best.assign(log_prob)
            for kept, variable in zip(best_weights, variables, strict=True):
                kept.assign(variable)

    for first in progress_bar("sampler")(range(0, _STEPS, _CHECK_EVERY)):
        fit_block(tf.constant(first))
    if not np.isfinite(best.numpy()):
        raise RunError(
            "the density over the codes could not be fitted: the likelihood of the codes was never "
            "finite; use --sampler=aggregate or prior"
        )
    for kept, variable in zip(best_weights, variables, strict=True):
        variable.assign(kept)
    return float(best.numpy())


def draw_codes(model: Model, examples: Examples, batch_size: int, seed: int) -> np.ndarray:
    """Draws one z from q(z|x) for each image, float32 [N, D]."""
    root = fold(make_seed(seed), "codes")

    @tf.function(autograph=False)
    def draw(image: tf.Tensor, label: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        conditioned = model.conditioned_on(label)
        noise = tf.random.stateless_normal(
            [batch_size, model.latent_dim], fold(root, number), alg=ALGORITHM
        )
        return conditioned.sample_and_log_prob(conditioned.encode(to_unit(image)), noise)[0]

    batches = enumerate(padded_batches(examples, batch_size))
    return np.concatenate(
        [
            draw(part.image, part.label, tf.constant(number)).numpy()[mask > 0]
            for number, (part, mask) in batches
        ]
    )
