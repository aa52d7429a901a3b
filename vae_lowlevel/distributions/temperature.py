"""Distributions drawn from at a temperature."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def tempered(distribution: tfd.Distribution, temperature: tf.Tensor) -> tfd.Distribution:
    """Returns a distribution with its scale times a temperature; the same for 1.

    Of a Gaussian, the standard deviations; of a mixture, those of its components, which keep their
    weights; of a flow, those of the noise that is sent through it.

    Args:
        distribution: Gaussian with a diagonal or triangular scale, a mixture of such, or a
            transformation of such.
        temperature: float32 scalar, at least 0; with 0 the distribution is a point and may only be
            drawn from.
    """
    if isinstance(distribution, tfd.MultivariateNormalDiag):
        scale = temperature * distribution.scale.diag_part()
        return tfd.MultivariateNormalDiag(distribution.loc, scale)
    if isinstance(distribution, tfd.MultivariateNormalTriL):
        scale = temperature * distribution.scale.to_dense()
        return tfd.MultivariateNormalTriL(distribution.loc, scale)
    if isinstance(distribution, tfd.MixtureSameFamily):
        components = tempered(distribution.components_distribution, temperature)
        return tfd.MixtureSameFamily(distribution.mixture_distribution, components)
    # Not by its class: TFP makes it one of another, private class for a bijector like our flows.
    if hasattr(distribution, "bijector"):
        base = tempered(distribution.distribution, temperature)
        return tfd.TransformedDistribution(base, distribution.bijector)
    raise TypeError(f"no temperature is defined for a {type(distribution).__name__}")
