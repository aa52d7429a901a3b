"""What a `Predictor` returns besides images."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Encoding:
    """The posteriors q(z|x) of N images; None for what this kind of posterior does not have.

    `mean, log_var = encoding` unpacks a posterior with independent dimensions.

    | posterior | meaning |
    |---|---|
    | diagonal | N(z_mean, diag(exp(z_log_var))) |
    | full | N(z_mean, L L^T), L = z_scale_tril |
    | flow | z_mean and z_log_var are those of its base; z is the flow's image of z_mean |
    | ladder | z_mean and z_log_var are those of each level given the means of those above it |

    Attributes:
        z_mean: float32 [N, D].
        z_log_var: float32 [N, D].
        z_scale_tril: float32 [N, D, D].
        z: float32 [N, D].
    """

    z_mean: np.ndarray
    z_log_var: np.ndarray | None = None
    z_scale_tril: np.ndarray | None = None
    z: np.ndarray | None = None

    @property
    def embedding(self) -> np.ndarray:
        """The z from which each image is reconstructed, float32 [N, D]."""
        return self.z_mean if self.z is None else self.z

    def to_dict(self) -> dict[str, np.ndarray]:
        """Returns the arrays that are not None, by name."""
        return {name: array for name, array in vars(self).items() if array is not None}

    def __iter__(self) -> Iterator[np.ndarray]:
        """Iterates over `z_mean` and `z_log_var`.

        Raises:
            ValueError: the posterior has a full covariance, or is not Gaussian.
        """
        if self.z_log_var is None or self.z is not None:
            raise ValueError(
                "this posterior is not described by a mean and a log variance alone: use the "
                f"attributes {', '.join(self.to_dict())}"
            )
        return iter((self.z_mean, self.z_log_var))


class Code(NamedTuple):
    """The codes of N images in a sparse autoencoder.

    Attributes:
        code: float32 [N, D].
    """

    code: np.ndarray

    @property
    def embedding(self) -> np.ndarray:
        """The code from which each image is reconstructed, float32 [N, D]."""
        return self.code

    def to_dict(self) -> dict[str, np.ndarray]:
        """Returns the code, by its name."""
        return self._asdict()


class Scores(NamedTuple):
    """How well a model describes N images: the outputs of the signature `score`.

    Attributes:
        distortion: float32 [N], -log p(x|z), nats.
        anomaly_score: float32 [N]; a higher score means less like the training images.
        is_anomaly: bool [N], whether the score exceeds the threshold of the export; always False
            for the model of a run, which has no threshold.
        rate: float32 [N], KL(q(z|x) || p(z)), nats; None where there is no prior.
        elbo: float32 [N], -(distortion + rate), nats; None where there is no prior.
    """

    distortion: np.ndarray
    anomaly_score: np.ndarray
    is_anomaly: np.ndarray
    rate: np.ndarray | None = None
    elbo: np.ndarray | None = None
