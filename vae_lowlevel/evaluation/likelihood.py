"""Log-likelihoods log p(x) of images, by importance sampling from the posterior."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.proposals import FEWEST_DRAWS, PROPOSALS, Draw
from vae_lowlevel.randomness import ALGORITHM, fold, make_seed
from vae_lowlevel.types import Examples, Model, ProgressBar, stored_spec, to_unit


class ImportanceSampling:
    """Estimates log p(x) as the importance-weighted bound of S draws of z from a proposal r(z|x).

        log p(x) >= E log 1/S sum_s w_s,    w_s = p(x|z_s) p(z_s) / r(z_s|x).

    The proposal is one of `proposals`, made from noise of N(0, c^2) in place of N(0, 1): a Gaussian
    then has c times its standard deviations. The bound rises with S to log p(x). The encoder runs
    once per image; the draws of a few images are decoded at a time. Everything but the model's
    hidden layers is float32.

    Args:
        model: a model with a prior.
        num_samples: S.
        proposal: by name, see `proposals.PROPOSALS`.
        proposal_scale: c.
        decode_batch: most z that are decoded at once, all images together: memory grows with it.
        seed: of the draws. They also depend on the number of an image and on `decode_batch`.
        jit_compile: whether XLA compiles the computation.

    Attributes:
        sizes: the numbers of samples for which a bound is computed: 1, 10, 100, ... and S.

    References:
        Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, eq. 8.
    """

    def __init__(
        self,
        model: Model,
        *,
        num_samples: int,
        decode_batch: int,
        seed: int,
        jit_compile: bool,
        proposal: str = "posterior",
        proposal_scale: float = 1.0,
    ) -> None:
        self.sizes = sample_sizes(num_samples)
        self._proposal, self._scale = PROPOSALS[proposal], proposal_scale
        self._model = model
        self._seed = fold(make_seed(seed), "likelihood")
        # About as many draws as images at a time: large batches for the encoder, too.
        self._draws = min(num_samples, max(1, round(math.sqrt(decode_batch))))
        self._rows = max(1, decode_batch // max(self._draws, FEWEST_DRAWS))
        self._chunks = -(-num_samples // self._draws)
        self._num_samples = num_samples
        specs = [
            stored_spec(self._rows, model.image_shape),
            tf.TensorSpec([self._rows], tf.int32),
            tf.TensorSpec([], tf.int32),
        ]
        self._bounds = tf.function(
            self._compute_bounds, input_signature=specs, autograph=False, jit_compile=jit_compile
        )

    def __call__(self, examples: Examples, progress: ProgressBar = iter) -> np.ndarray:
        """Returns the bounds of each image in nats, float32 [N, len(sizes)].

        The bound of k samples is the mean over as many disjoint groups of k draws as S has.

        Args:
            examples: N images, and the labels of a conditional model.
            progress: see `types.ProgressBar`.
        """
        return compute_in_batches(self._bounds, examples, self._rows, progress)

    def _compute_bounds(self, image: tf.Tensor, label: tf.Tensor, number: tf.Tensor) -> tf.Tensor:
        model, image = self._model.conditioned_on(label), to_unit(image)
        prior, seed = model.prior(), fold(self._seed, number)

        def log_joint(z: tf.Tensor) -> tf.Tensor:
            return model.decode(z).log_prob(image) + prior.log_prob(z)

        draw = self._proposal(model, image, log_joint, fold(seed, "proposal"))
        shape = [self._draws, self._rows, model.latent_dim]
        size = [self._draws, self._rows]
        log_weights = tf.TensorArray(tf.float32, self._chunks, element_shape=size)

        def add_chunk(chunk: tf.Tensor, log_weights: tf.TensorArray) -> Any:
            noise = tf.random.stateless_normal(shape, fold(seed, chunk), alg=ALGORITHM)
            z, log_proposal = self._widen(draw, noise)
            return chunk + 1, log_weights.write(chunk, log_joint(z) - log_proposal)

        _, log_weights = tf.while_loop(
            lambda chunk, _: chunk < self._chunks,
            add_chunk,
            (tf.constant(0), log_weights),
            maximum_iterations=self._chunks,
            parallel_iterations=1,
        )
        log_weights = tf.reshape(log_weights.stack(), [-1, self._rows])[: self._num_samples]
        return tf.stack([mean_bound(log_weights, size) for size in self.sizes], -1)

    def _widen(self, draw: Draw, noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns z = f(e) for e = c * noise, and the log-density of the proposal.

        log r_c(z|x) = log r(z|x) + log N(e; 0, c^2) - log N(e; 0, 1)
        """
        widened = self._scale * noise
        z, log_proposal = draw(widened)
        ratio = 0.5 * (tf.square(widened) - tf.square(noise)) - math.log(self._scale)
        return z, log_proposal + tf.reduce_sum(ratio, -1)


def compute_in_batches(
    compute: Callable[[np.ndarray, np.ndarray, tf.Tensor], tf.Tensor],
    examples: Examples,
    rows: int,
    progress: ProgressBar,
) -> np.ndarray:
    """Computes numbers for each image, in batches of one size.

    Args:
        compute: (image uint8 [rows, H, W, C], label int32 [rows], number of the batch int32) ->
            [rows, ...].
        examples: N images.
        rows: size of a batch; the last one is padded with the last image.
        progress: see `types.ProgressBar`.

    Returns:
        [N, ...].
    """
    count, values = len(examples), []
    for number in progress(range(-(-count // rows))):
        first = number * rows
        part = examples[np.minimum(np.arange(first, first + rows), count - 1)]
        computed = compute(part.image, part.label, tf.constant(number, tf.int32))
        values.append(computed.numpy()[: count - first])
    return np.concatenate(values)


def sample_sizes(num_samples: int) -> list[int]:
    """Returns 1, 10, 100, ... below the number of samples, and that number.

    Example:
        >>> sample_sizes(5000), sample_sizes(10), sample_sizes(1)
        ([1, 10, 100, 1000, 5000], [1, 10], [1])
    """
    powers = [10**power for power in range(10) if 10**power < num_samples]
    return [*powers, num_samples]


def mean_bound(log_weights: tf.Tensor, size: int) -> tf.Tensor:
    """Computes the importance-weighted bound of `size` draws, averaged over groups of draws.

    Args:
        log_weights: log w_s, float32 [S, B], nats.
        size: draws per group, at most S; S // size groups do not overlap.

    Returns:
        float32 [B], nats.
    """
    groups = log_weights.shape[0] // size
    grouped = tf.reshape(log_weights[: groups * size], [groups, size, -1])
    return tf.reduce_mean(tf.reduce_logsumexp(grouped, 1), 0) - math.log(size)


def summarize_bounds(
    bounds: np.ndarray, sizes: list[int], bpd_dimensions: int | None = None
) -> dict[str, Any]:
    """Returns what is reported of the bounds of N images.

    Args:
        bounds: float32 [N, K], nats.
        sizes: samples of each of the K bounds.
        bpd_dimensions: H W C, for a likelihood of discrete grey levels; None for any other.

    Returns:
        `nll`, the mean of -log p(x) by the last bound, in nats per example; `nll_standard_error`,
        of that mean, from the differences among images; `bounds`: the mean bound by number of
        samples; `importance_samples`, `examples`; with `bpd_dimensions` also `bpd`.
    """
    bounds = bounds.astype(np.float64)
    nll = -bounds[:, -1]
    result = {
        "nll": float(nll.mean()),
        "nll_standard_error": float(nll.std(ddof=1) / math.sqrt(len(nll))) if len(nll) > 1 else 0.0,
        "importance_samples": sizes[-1],
        "examples": len(bounds),
        "bounds": {
            str(size): float(mean) for size, mean in zip(sizes, bounds.mean(0), strict=True)
        },
    }
    if bpd_dimensions is not None:
        result["bpd"] = result["nll"] / (bpd_dimensions * math.log(2.0))
    return result
