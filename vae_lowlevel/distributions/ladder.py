"""The prior and the posterior of a ladder: latents in levels, each given the levels above it.

The levels z_L, ..., z_1 are parts of one vector z [..., D], from the top level z_L to the bottom
level z_1. A draw of z is a transformation of standard normal noise, level by level, so both
distributions are flows: `FlowDistribution` with a `LadderFlow`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import soft_clip
from vae_lowlevel.distributions.flows import Flow, FlowDistribution, WithLogDet

tfd = tfp.distributions

# Of every level, in the prior and in the encoder's estimate; as for the other posteriors.
LOG_VARIANCE_BOUND = 10.0

LocAndLogVariance = tuple[tf.Tensor, tf.Tensor]

# The levels above, joined, [..., A] -> mean and log-variance of a level, [..., d] or [d].
Conditional = Callable[[tf.Tensor], LocAndLogVariance]


class LadderStep:
    """The map from noise to the levels of z, and back; see `FlowStep`.

    forward: z_l = loc_l + exp(log_variance_l / 2) noise_l, where loc_l and log_variance_l depend on
    the levels above; log |det dz/dnoise| = sum_l sum log_variance_l / 2. Either direction evaluates
    each conditional once.

    Args:
        dims: dimensions of the levels, from the top one on.
        conditionals: one per level.
    """

    def __init__(self, dims: Sequence[int], conditionals: Sequence[Conditional]) -> None:
        self._dims = list(dims)
        self._conditionals = list(conditionals)

    def forward(self, x: tf.Tensor) -> WithLogDet:
        """Returns z [..., D] of noise [..., D], and log |det dz/dnoise| [...]."""
        z, log_det = x[..., :0], tf.zeros(tf.shape(x)[:-1])
        for noise, conditional in zip(self._split(x), self._conditionals, strict=True):
            loc, log_variance = conditional(z)
            z = tf.concat([z, loc + tf.math.exp(0.5 * log_variance) * noise], -1)
            log_det += 0.5 * tf.reduce_sum(log_variance, -1)
        return z, log_det

    def inverse(self, y: tf.Tensor) -> WithLogDet:
        """Returns the noise [..., D] of z [..., D], and log |det dnoise/dz| [...]."""
        loc, log_variance = self.at(y)
        noise = (y - loc) * tf.math.exp(-0.5 * log_variance)
        return noise, -0.5 * tf.reduce_sum(log_variance, -1)

    def at(self, z: tf.Tensor) -> LocAndLogVariance:
        """Returns mean and log-variance of every level given the levels above it, [..., D]."""
        parts, first = [], 0
        for level, conditional in zip(self._split(z), self._conditionals, strict=True):
            parts.append([part + tf.zeros_like(level) for part in conditional(z[..., :first])])
            first += level.shape[-1]
        loc, log_variance = (tf.concat(part, -1) for part in zip(*parts, strict=True))
        return loc, log_variance

    def _split(self, z: tf.Tensor) -> list[tf.Tensor]:
        return tf.split(z, self._dims, axis=-1)


class LadderFlow(Flow):
    """The bijector of one `LadderStep`.

    Args:
        dims: as for `LadderStep`.
        conditionals: as for `LadderStep`.
        name: of the bijector.

    Attributes:
        step: the step.
    """

    def __init__(
        self, dims: Sequence[int], conditionals: Sequence[Conditional], name: str = "ladder"
    ) -> None:
        self.step = LadderStep(dims, conditionals)
        super().__init__([self.step], name=name)


class LadderPrior(tf.Module):
    """The prior p(z_L) p(z_(L-1) | z_L) ... p(z_1 | z_2, ..., z_L).

    p(z_L) is a prior of `priors`, N(0, I) or another. Every other level is a diagonal Gaussian
    whose mean and log-variance a network computes from all levels above it. The log-variances are
    bounded to (-10, 10). With one level the prior is p(z_L).

    Args:
        dims: dimensions of the levels, from the top one on.
        networks: one per level below the top, from the upper one on: the levels above, joined,
            [N, A] -> mean and log-variance before its bound, joined, [N, 2 d].
        top: the prior of the top level, over float32 [dims[0]].

    Attributes:
        top: the prior of the top level.
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.

    References:
        Sonderby et al., "Ladder Variational Autoencoders", 2016, eq. 1 to 3. There, a level depends
        on the one above it alone. Tomczak, Welling, "VAE with a VampPrior", 2018, sec. 3, for a
        mixture at the top.
    """

    is_gaussian = False

    def __init__(
        self,
        dims: Sequence[int],
        networks: Sequence[Callable[[tf.Tensor], tf.Tensor]],
        top: Callable[[], tfd.Distribution],
    ) -> None:
        super().__init__(name="ladder_prior")
        self.dims = tuple(dims)
        self.networks = list(networks)
        self.top = top

    def __call__(self) -> FlowDistribution:
        """Returns the distribution over float32 [D]."""
        conditionals = [
            lambda z, level=level: self.conditional(level, z) for level in range(len(self.dims))
        ]
        return FlowDistribution(self._base(), LadderFlow(self.dims, conditionals))

    def _base(self) -> tfd.Distribution:
        """Returns what the levels are made of: p(z_L), and N(0, I) for the levels below."""
        if self.top.is_gaussian:
            return _standard_normal([sum(self.dims)])
        if len(self.dims) == 1:
            return self.top()
        return tfd.Blockwise([self.top(), _standard_normal([sum(self.dims[1:])])])

    def conditional(self, level: int, above: tf.Tensor) -> LocAndLogVariance:
        """Computes mean and log-variance of p(z_l | the levels above).

        Args:
            level: its number from the top. For 0 they are those of N(0, I), whatever p(z_L) is.
            above: the levels above, joined, float32 [..., A].

        Returns:
            float32 [..., d] each; [d] for the top level.
        """
        if level == 0:
            return tf.zeros([self.dims[0]]), tf.zeros([self.dims[0]])
        # A single draw has no batch dimension, but the network needs one.
        parameters = self.networks[level - 1](tf.reshape(above, [-1, above.shape[-1]]))
        shape = tf.concat([tf.shape(above)[:-1], [self.dims[level]]], 0)
        loc, raw = (tf.reshape(part, shape) for part in tf.split(parameters, 2, axis=-1))
        return loc, soft_clip(raw, LOG_VARIANCE_BOUND)


class LadderPosterior(tf.Module):
    """The posterior q(z_L | x) q(z_(L-1) | z_L, x) ... q(z_1 | z_2, ..., z_L, x).

    Bottom-up, networks estimate mean and variance of each level from the image: the encoder returns
    the estimate of the bottom level and features, the next network maps the features to the
    estimate of the level above and its features, and so on. Top-down, the estimate of a level is
    combined with the prior's conditional; see `combine`. The top level is its estimate alone, so
    with one level the posterior is that of `DiagonalPosterior`.

    Args:
        dims: dimensions of the levels, from the top one on.
        features: number of features that are passed to the next level.
        networks: bottom-up, one per level above the bottom, from the lower one on: features
            [B, features] -> mean, log-variance before its bound, and features, joined,
            [B, 2 d + features]; for the top level without features, [B, 2 d].
        conditional: (level, the levels above) -> mean and log-variance of the prior's conditional;
            see `LadderPrior.conditional`. It is a function, so that the prior's variables are not
            variables of the posterior too.

    Attributes:
        parameter_size: number of encoder outputs it needs, 2 d + features for the bottom level's d;
            with one level 2 d.
        is_gaussian: whether q(z|x) is a Gaussian, so that the KL may have a closed form.

    References:
        Sonderby et al., "Ladder Variational Autoencoders", 2016, sec. 2.1.
    """

    is_gaussian = False

    def __init__(
        self,
        dims: Sequence[int],
        features: int,
        networks: Sequence[Callable[[tf.Tensor], tf.Tensor]],
        conditional: Callable[[int, tf.Tensor], LocAndLogVariance],
    ) -> None:
        super().__init__(name="ladder_posterior")
        self.dims = tuple(dims)
        self.networks = list(networks)
        self.parameter_size = 2 * self.dims[-1] + (features if self.networks else 0)
        self._conditional = conditional

    def __call__(self, parameters: tf.Tensor) -> FlowDistribution:
        """Maps [B, parameter_size] to the posterior over float32 [B, D]."""
        parameters = tf.cast(parameters, tf.float32)
        shape = [tf.shape(parameters)[0], sum(self.dims)]
        estimates = self._estimate(parameters)
        conditionals = [
            lambda z, level=level, estimate=estimate: self._combined(level, estimate, z)
            for level, estimate in enumerate(estimates)
        ]
        return FlowDistribution(_standard_normal(shape), LadderFlow(self.dims, conditionals))

    def top_level(self, parameters: tf.Tensor) -> tfd.MultivariateNormalDiag:
        """Maps [B, parameter_size] to the posterior of the top level, over float32 [B, d]."""
        loc, log_variance = self._estimate(tf.cast(parameters, tf.float32))[0]
        return tfd.MultivariateNormalDiag(loc, tf.math.exp(0.5 * log_variance))

    def embedding(self, posterior: FlowDistribution) -> tf.Tensor:
        """Returns the levels at their means, each given the means above it, float32 [B, D]."""
        return posterior.flow.forward(posterior.base.mean())

    def parameters(self, posterior: FlowDistribution) -> dict[str, tf.Tensor]:
        """Returns `z_mean`, the embedding, and `z_log_var`, float32 [B, D].

        Both are those of each level given the means of the levels above it.
        """
        z_mean = self.embedding(posterior)
        return {"z_mean": z_mean, "z_log_var": posterior.flow.step.at(z_mean)[1]}

    def _estimate(self, parameters: tf.Tensor) -> list[LocAndLogVariance]:
        """Returns mean and log-variance of each level by the image alone, from the top on."""
        estimates = []
        for size, network in zip(reversed(self.dims), [*self.networks, None], strict=True):
            loc, raw, features = tf.split(parameters, [size, size, -1], axis=-1)
            estimates.insert(0, (loc, soft_clip(raw, LOG_VARIANCE_BOUND)))
            if network is not None:
                parameters = network(features)
        return estimates

    def _combined(
        self, level: int, estimate: LocAndLogVariance, above: tf.Tensor
    ) -> LocAndLogVariance:
        if level == 0:
            return estimate
        return combine(estimate, self._conditional(level, above))


def combine(first: LocAndLogVariance, second: LocAndLogVariance) -> LocAndLogVariance:
    """Combines two estimates of a mean, each weighted by its precision.

        log_variance = -log(1 / variance_1 + 1 / variance_2)
        loc = (loc_1 / variance_1 + loc_2 / variance_2) exp(log_variance)

    This is the product of the two Gaussians, normalised.

    Args:
        first: mean and log-variance, float32 [..., d].
        second: the same.

    Returns:
        Mean and log-variance, float32 [..., d].

    References:
        Sonderby et al., "Ladder Variational Autoencoders", 2016, eq. 9 to 11.
    """
    (loc, log_variance), (other_loc, other_log_variance) = first, second
    # variance / variance_1, which is also the weight of the first mean.
    ratio = other_log_variance - log_variance
    combined_loc = other_loc + tf.math.sigmoid(ratio) * (loc - other_loc)
    return combined_loc, log_variance + tf.math.log_sigmoid(ratio)


def _standard_normal(shape: Sequence[int | tf.Tensor]) -> tfd.MultivariateNormalDiag:
    return tfd.MultivariateNormalDiag(tf.zeros(shape), tf.ones(shape))
