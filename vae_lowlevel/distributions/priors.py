"""Priors p(z): a call returns the distribution over float32 [D], from the current variables."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from vae_lowlevel.distributions.bounds import soft_clip
from vae_lowlevel.distributions.flows import CouplingStep, Flow, FlowDistribution
from vae_lowlevel.distributions.mixtures import DiagonalMixture, mixture

tfd = tfp.distributions

# Of the mixture's log-variances; as for the posteriors that the mixture has to cover.
LOG_VARIANCE_BOUND = 10.0


class StandardPrior(tf.Module):
    """The prior N(0, I).

    Attributes:
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.
    """

    is_gaussian = True

    def __init__(self, latent_dim: int) -> None:
        super().__init__(name="standard_prior")
        self.latent_dim = latent_dim

    def __call__(self) -> tfd.MultivariateNormalDiag:
        """Returns the distribution over float32 [D]."""
        return tfd.MultivariateNormalDiag(tf.zeros([self.latent_dim]), tf.ones([self.latent_dim]))


class MixturePrior(tf.Module):
    """A learned mixture of diagonal Gaussians, sum_k w_k N(loc_k, diag(exp(log_variance_k))).

    The log-variances are bounded to (-10, 10), as those of a posterior. The initial weights are
    equal, the scales 1 and the means drawn from N(0, I): components that start equal would stay
    equal.

    Args:
        latent_dim: D.
        components: number of Gaussians.
        seed: int32 [2], of the initial means.

    Attributes:
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.
    """

    is_gaussian = False

    def __init__(self, latent_dim: int, components: int, *, seed: tf.Tensor) -> None:
        super().__init__(name="mixture_prior")
        shape = [components, latent_dim]
        with self.name_scope:
            self.logits = tf.Variable(tf.zeros([components]), name="logits")
            self.loc = tf.Variable(tf.random.stateless_normal(shape, seed), name="loc")
            self.raw_log_variance = tf.Variable(tf.zeros(shape), name="raw_log_variance")

    def __call__(self) -> DiagonalMixture:
        """Returns the distribution over float32 [D]."""
        log_variance = soft_clip(self.raw_log_variance, LOG_VARIANCE_BOUND)
        return DiagonalMixture(
            tfd.Categorical(logits=tf.convert_to_tensor(self.logits)),
            tfd.MultivariateNormalDiag(
                tf.convert_to_tensor(self.loc), tf.math.exp(0.5 * log_variance)
            ),
        )


# Initial pixels of pseudo-inputs are at least this far from 0 and 1, where the sigmoid is flat.
PIXEL_MARGIN = 0.02


class VampPrior(tf.Module):
    """The mixture of the posteriors of learned pseudo-inputs, 1/K sum_k q(z|u_k).

    A pseudo-input is an image, u_k = sigmoid(raw_k). It starts as dark grey noise. Call
    `start_from` before training: pseudo-inputs that start as real images train better.

    Args:
        encode: image [K, H, W, C] -> Gaussian posterior over [K, D]; a function, so that the
            encoder's variables are not variables of the prior too.
        image_shape: (H, W, C).
        components: K.
        seed: int32 [2], of the initial noise.

    Attributes:
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.

    References:
        Tomczak, Welling, "VAE with a VampPrior", 2018, eq. 9.
    """

    is_gaussian = False

    def __init__(
        self,
        encode: Callable[[tf.Tensor], tfd.Distribution],
        image_shape: Sequence[int],
        components: int,
        *,
        seed: tf.Tensor,
    ) -> None:
        super().__init__(name="vamp_prior")
        self._encode = encode
        with self.name_scope:
            noise = tf.random.stateless_normal([components, *image_shape], seed, mean=-2.0)
            self.raw_pixels = tf.Variable(noise, name="raw_pixels")

    @property
    def pseudo_inputs(self) -> tf.Tensor:
        """The pseudo-inputs, float32 [K, H, W, C] in (0, 1)."""
        return tf.math.sigmoid(self.raw_pixels)

    def start_from(self, images: tf.Tensor) -> None:
        """Sets the first pseudo-inputs to images.

        Args:
            images: float32 [N, H, W, C] in [0, 1]; at most K of them are used.
        """
        pixels = tf.clip_by_value(images, PIXEL_MARGIN, 1.0 - PIXEL_MARGIN)
        raw = tf.math.log(pixels) - tf.math.log1p(-pixels)
        self.raw_pixels.assign(tf.concat([raw, self.raw_pixels], 0)[: self.raw_pixels.shape[0]])

    def __call__(self) -> tfd.MixtureSameFamily:
        """Returns the distribution over float32 [D]."""
        components = self._encode(self.pseudo_inputs)
        weights = tfd.Categorical(logits=tf.zeros([self.raw_pixels.shape[0]]))
        return mixture(weights, components)


class AggregatePrior(tf.Module):
    """The mixture of given Gaussian posteriors with equal weights, 1/K sum_k q(z|x_k).

    Its variables are not trained.

    Args:
        loc: means, float32 [K, D].
        scale: standard deviations, float32 [K, D], or lower-triangular scales, float32 [K, D, D].

    Attributes:
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.
    """

    is_gaussian = False

    def __init__(self, loc: tf.Tensor, scale: tf.Tensor) -> None:
        super().__init__(name="aggregate_prior")
        with self.name_scope:
            self.loc = tf.Variable(loc, trainable=False, name="loc")
            self.scale = tf.Variable(scale, trainable=False, name="scale")

    def __call__(self) -> tfd.MixtureSameFamily:
        """Returns the distribution over float32 [D]."""
        is_diagonal = self.scale.shape.rank == 2
        gaussian = tfd.MultivariateNormalDiag if is_diagonal else tfd.MultivariateNormalTriL
        components = gaussian(tf.convert_to_tensor(self.loc), tf.convert_to_tensor(self.scale))
        return mixture(tfd.Categorical(logits=tf.zeros([self.loc.shape[0]])), components)


class FlowPrior(tf.Module):
    """N(0, I) transformed by affine couplings (RealNVP), the dimensions reversed between them.

    Args:
        latent_dim: D, at least 2.
        networks: one per coupling, [N, D // 2] -> [N, 2 (D - D // 2)].

    Attributes:
        is_gaussian: whether p(z) is a diagonal Gaussian, so that the KL may have a closed form.

    References:
        Dinh, Sohl-Dickstein, Bengio, "Density Estimation Using Real NVP", 2017.
    """

    is_gaussian = False

    def __init__(
        self, latent_dim: int, networks: Sequence[Callable[[tf.Tensor], tf.Tensor]]
    ) -> None:
        super().__init__(name="flow_prior")
        self.networks = list(networks)
        self._base = StandardPrior(latent_dim)

    def __call__(self) -> FlowDistribution:
        """Returns the distribution over float32 [D]."""
        steps = [CouplingStep(network) for network in self.networks]
        return FlowDistribution(self._base(), Flow(steps))


def tempered(distribution: tfd.Distribution, temperature: tf.Tensor) -> tfd.Distribution:
    """Returns the distribution with its scale multiplied by a temperature.

    For a Gaussian: its standard deviations. For a mixture: the standard deviations of its
    components; the weights stay. For a flow: the standard deviations of its base. For a
    distribution of blocks: those of every block.

    Args:
        distribution: what a prior of this module returns.
        temperature: float32 scalar, at least 0. At 0 the distribution is a point: it has draws, but
            no density.

    Raises:
        TypeError: no temperature is defined for this kind of distribution.
    """
    if isinstance(distribution, tfd.MultivariateNormalDiag):
        scale = temperature * distribution.scale.diag_part()
        return tfd.MultivariateNormalDiag(distribution.loc, scale)
    if isinstance(distribution, tfd.MultivariateNormalTriL):
        scale = temperature * distribution.scale.to_dense()
        return tfd.MultivariateNormalTriL(distribution.loc, scale)
    if isinstance(distribution, tfd.MixtureSameFamily):
        components = tempered(distribution.components_distribution, temperature)
        # Not a `FullMixture`, which at 0 would have no precision matrices, and is drawn from only.
        is_diagonal = isinstance(distribution, DiagonalMixture)
        family = DiagonalMixture if is_diagonal else tfd.MixtureSameFamily
        return family(distribution.mixture_distribution, components)
    if isinstance(distribution, tfd.Blockwise):
        blocks = distribution.distributions
        return tfd.Blockwise([tempered(block, temperature) for block in blocks])
    if isinstance(distribution, FlowDistribution):
        return FlowDistribution(tempered(distribution.base, temperature), distribution.flow)
    raise TypeError(f"no temperature is defined for a {type(distribution).__name__}")
