"""Settings of the objective."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import check, option
from vae_lowlevel.errors import ConfigError

CORRUPTIONS = ("none", "gaussian", "mask", "salt_and_pepper")
STRENGTH_HELP = (
    "Strength of the corruption. gaussian: standard deviation in units of the [0, 1] range. mask: "
    "fraction of the pixels set to 0. salt_and_pepper: fraction of the pixels set to 0 or 1, each "
    "with equal probability."
)

_ELBO_ONLY = {
    "pixel_reduction": "sum",
    "free_bits": 0.0,
    "capacity": None,
    "kl_estimator": "auto",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectiveConfig:
    """Objective."""

    objective: str = option(
        "elbo",
        "vae: what is maximised. elbo: evidence lower bound, with all options of the KL below. "
        "iwae: importance-weighted bound of num_samples draws. dreg: the same bound, with the "
        "doubly reparameterized gradient (less noise; posterior diagonal or full). tcvae: the ELBO "
        "with kl_weight on the total correlation alone (beta-TCVAE; posterior diagonal, prior "
        "standard).",
        choices=("elbo", "iwae", "dreg", "tcvae"),
    )
    num_samples: int = option(
        1,
        "elbo, iwae, dreg: number of draws of z per example and step; the encoder runs once.",
        at_least=1,
        at_most=100_000,
    )
    pixel_reduction: str = option(
        "sum",
        "sum: loss in nats per example. mean: reconstruction error per pixel (gaussian: squared "
        "error, bernoulli: cross-entropy) + kl_weight x KL, summed over the latent dimensions.",
        choices=("sum", "mean"),
    )
    kl_weight: float = option(1.0, "Weight of the KL term in the loss (beta).", at_least=0)
    kl_schedule: str = option(
        "constant",
        "Schedule of the KL weight. linear: one rise from 0 to kl_weight, also after init_from. "
        "cyclical: such a rise in every cycle.",
        choices=("constant", "linear", "cyclical"),
    )
    kl_warmup_epochs: float = option(
        5.0, "linear: number of epochs over which the weight rises from 0.", above=0
    )
    kl_cycle_epochs: float = option(10.0, "cyclical: length of a cycle in epochs.", above=0)
    kl_ramp_fraction: float = option(
        0.5, "cyclical: fraction of a cycle in which the weight rises.", above=0, at_most=1
    )
    free_bits: float = option(
        0.0,
        "Nats per latent dimension below which the KL (mean over the batch) is not penalised. A "
        "Monte Carlo KL is not split by dimension: its threshold is latent_dim times this value.",
        at_least=0,
    )
    kl_estimator: str = option(
        "auto",
        "How the KL is computed. analytic: closed form. monte_carlo: log q(z|x) - log p(z) at the "
        "draws of z. auto: analytic where there is a closed form (posterior diagonal or full, "
        "prior standard).",
        choices=("auto", "monte_carlo", "analytic"),
    )

    capacity: float | None = option(
        None,
        "Target of the KL in nats: the loss contains kl_weight x |mean KL - C(t)|, and C rises "
        "linearly from 0 to this value.",
        at_least=0,
    )
    capacity_epochs: float = option(
        20.0, "capacity: number of epochs over which C rises from 0 to capacity.", above=0
    )
    sparsity_target: float = option(
        0.05, "sparse_autoencoder: target of the mean activity of a unit.", above=0, below=1
    )
    sparsity_weight: float = option(
        3.0, "sparse_autoencoder: weight of the sparsity penalty.", at_least=0
    )
    corruption: str = option(
        "none",
        "Corruption of the images that the encoder sees in training and validation; the target "
        "stays clean (denoising). The test split is measured clean and corrupted.",
        choices=CORRUPTIONS,
    )
    corruption_strength: float = option(0.25, STRENGTH_HELP, above=0)

    def __post_init__(self) -> None:
        check(self)
        check_corruption(self.corruption, self.corruption_strength)
        if self.capacity is not None and self.free_bits:
            raise ConfigError(
                f"--capacity={self.capacity} and --free_bits={self.free_bits} both change the KL "
                "term of the loss: give one of the two"
            )
        if self.objective != "elbo":
            self._check_other_objective()

    def _check_other_objective(self) -> None:
        """Refuses what only the ELBO has."""
        for name, default in _ELBO_ONLY.items():
            value = getattr(self, name)
            if value != default:
                raise ConfigError(
                    f"--{name}={value} is for --objective=elbo, but --objective is "
                    f"{self.objective}: leave out --{name}, or use --objective=elbo"
                )
        if self.objective == "tcvae" and self.num_samples > 1:
            raise ConfigError(
                f"--num_samples={self.num_samples}: --objective=tcvae draws one z per example; "
                "leave --num_samples out"
            )

    @property
    def limits_kl(self) -> bool:
        """Whether free bits or a capacity change the KL term of the loss."""
        return bool(self.free_bits) or self.capacity is not None


def check_corruption(corruption: str, strength: float) -> None:
    """Checks that a strength that is a fraction of the pixels is at most 1.

    Raises:
        ConfigError: it is more.
    """
    if corruption in ("mask", "salt_and_pepper") and strength > 1:
        raise ConfigError(
            f"--corruption_strength of {corruption} is a fraction of the pixels and must be at "
            f"most 1, got {strength}"
        )
