"""How the latent dimensions are used."""

from __future__ import annotations

import numpy as np

# Burda et al. count a unit as active when the variance of its posterior mean exceeds this.
ACTIVE_VARIANCE = 0.01


def active_units(z_mean: np.ndarray) -> int:
    """Counts latent dimensions whose posterior mean varies over the data: variance > 0.01.

    Args:
        z_mean: float [N, D], posterior means.

    References:
        Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", 2016, sec. 5.2.
    """
    return int(np.sum(np.var(z_mean, axis=0) > ACTIVE_VARIANCE))


def latent_statistics(z_mean: np.ndarray) -> list[dict[str, float]]:
    """Returns min, max, mean and std of each latent dimension of float [N, D]."""
    return [
        {
            "min": float(column.min()),
            "max": float(column.max()),
            "mean": float(column.mean()),
            "std": float(column.std()),
        }
        for column in z_mean.T.astype(np.float64)
    ]
