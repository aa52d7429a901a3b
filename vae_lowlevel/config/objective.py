"""Settings of the objective."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.options import check, option


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

    def __post_init__(self) -> None:
        check(self)
