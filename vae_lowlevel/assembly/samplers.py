"""The choice of `--sampler` -> the density over latent codes, before it is fitted."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel.distributions import priors
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.networks.flows import coupling_network
from vae_lowlevel.randomness import fold

_FLOW_STEPS, _FLOW_UNITS = 6, (64, 64)


def build_sampler(kind: str, codes: np.ndarray, *, components: int, seed: tf.Tensor) -> tf.Module:
    """Builds a density to be fitted to codes.

    Args:
        kind: "gmm" or "flow".
        codes: float32 [N, D], in random order; the means of gmm start from the first ones.
        components: Gaussians of gmm.
        seed: int32 [2], of the initial weights.

    Returns:
        A module; called, it returns the distribution over float32 [D].

    Raises:
        ConfigError: a flow of one dimension.
    """
    latent_dim = codes.shape[1]
    if kind == "gmm":
        density = priors.MixturePrior(latent_dim, components, seed=seed)
        means = density.loc.numpy()
        means[: len(codes)] = codes[:components]
        density.loc.assign(means)
        return density
    if latent_dim < 2:
        raise ConfigError(
            "--sampler=flow couples two halves of z, so there must be at least 2 latent "
            "dimensions, found 1; use --sampler=gmm"
        )
    networks = [
        coupling_network(
            latent_dim,
            units=_FLOW_UNITS,
            activation=tf.nn.relu,
            seed=fold(seed, f"coupling_{index}"),
            name=f"coupling_{index}",
        )
        for index in range(_FLOW_STEPS)
    ]
    return priors.FlowPrior(latent_dim, networks)


def build_aggregate(loc: np.ndarray, scale: np.ndarray) -> tf.Module:
    """Builds the mixture of given posteriors; see `priors.AggregatePrior`."""
    return priors.AggregatePrior(loc, scale)
