"""Settings of the objective."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError

CORRUPTIONS = ("none", "gaussian", "mask", "salt_and_pepper")
STRENGTH_HELP = (
    "gaussian: standard deviation, in units of the [0, 1] range. mask: part of the pixels set to "
    "0. salt_and_pepper: part of the pixels set to 0 or 1, as many to either."
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Objective."""

    pixel_reduction: str = option(
        "sum",
        "sum: loss in nats an example. mean: reconstruction error a pixel (gaussian: squared "
        "error, bernoulli: cross-entropy) + kl_weight x KL summed over the latent dimensions.",
        choices=("sum", "mean"),
    )
    kl_weight: float = option(1.0, "Weight of the KL term (beta).", at_least=0)
    kl_schedule: str = option(
        "constant", "How the weight reaches kl_weight.", choices=("constant", "linear", "cyclical")
    )
    kl_warmup_epochs: float = option(
        5.0, "linear: epochs over which the weight rises from 0.", above=0
    )
    kl_cycle_epochs: float = option(10.0, "cyclical: epochs of one cycle.", above=0)
    kl_ramp_fraction: float = option(
        0.5, "cyclical: part of a cycle in which the weight rises.", above=0, at_most=1
    )
    free_bits: float = option(
        0.0,
        "Nats a latent dimension may use before its KL is penalised (mean over the batch). A "
        "Monte Carlo KL has no dimensions: the whole may use latent_dim times as many.",
        at_least=0,
    )
    kl_estimator: str = option(
        "auto",
        "analytic: the closed form. monte_carlo: log q(z|x) - log p(z) at the one draw of z. auto: "
        "the closed form where there is one (posterior diagonal or full, prior standard).",
        choices=("auto", "monte_carlo", "analytic"),
    )

    capacity: float | None = option(
        None,
        "Nats that the KL is drawn to: the loss takes kl_weight x |mean KL - C(t)|, C rising "
        "linearly from 0 to this.",
        at_least=0,
    )
    capacity_epochs: float = option(
        20.0, "capacity: epochs over which C rises from 0 to capacity.", above=0
    )
    sparsity_target: float = option(
        0.05, "sparse_autoencoder: wanted mean activity of a unit.", above=0, below=1
    )
    sparsity_weight: float = option(
        3.0, "sparse_autoencoder: weight of the sparsity penalty.", at_least=0
    )
    corruption: str = option(
        "none",
        "Denoising: what is done to the images that the encoder sees in training and validation; "
        "the target stays clean. The test split is measured clean and corrupted.",
        choices=CORRUPTIONS,
    )
    corruption_strength: float = option(0.25, STRENGTH_HELP, above=0)

    def __post_init__(self) -> None:
        check(self)
        check_corruption(self.corruption, self.corruption_strength)
        if self.capacity is not None and self.free_bits:
            raise ConfigError(
                f"--capacity={self.capacity} and --free_bits={self.free_bits}: both set what the "
                "KL may cost; give one of the two"
            )

    @property
    def limits_kl(self) -> bool:
        """Whether free bits or a capacity set what the KL may cost."""
        return bool(self.free_bits) or self.capacity is not None


def check_corruption(corruption: str, strength: float) -> None:
    """Checks that a strength that is a part of the pixels is one.

    Raises:
        ConfigError: it is more than all of them.
    """
    if corruption in ("mask", "salt_and_pepper") and strength > 1:
        raise ConfigError(
            f"--corruption_strength of {corruption} is a part of the pixels and must be at most 1, "
            f"got {strength}"
        )
