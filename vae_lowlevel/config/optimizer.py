"""Settings of the optimiser."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Optimiser."""

    learning_rate: float = option(1e-3, "Peak learning rate of Adam.", above=0)
    learning_rate_schedule: str = option(
        "constant",
        "Decay of the learning rate after the warm-up. cosine: over all steps of the run.",
        choices=("constant", "cosine", "exponential"),
    )
    learning_rate_warmup_steps: int = option(
        0, "Number of steps over which the learning rate rises linearly from 0.", at_least=0
    )
    learning_rate_final_fraction: float = option(
        0.01, "cosine: final learning rate as a fraction of the peak.", at_least=0, at_most=1
    )
    learning_rate_decay: float = option(
        0.9,
        "exponential: factor of the learning rate per learning_rate_decay_epochs.",
        above=0,
        at_most=1,
    )
    learning_rate_decay_epochs: float = option(
        1.0,
        "exponential: number of epochs in which the rate falls by learning_rate_decay.",
        above=0,
    )
    adam_beta1: float = option(0.9, "Decay rate of Adam's first moment.", at_least=0, below=1)
    adam_beta2: float = option(0.999, "Decay rate of Adam's second moment.", at_least=0, below=1)
    adam_epsilon: float = option(1e-7, "Adam's epsilon, added to the square root.", above=0)
    clip_norm: float | None = option(
        None,
        "Global norm to which a larger gradient is scaled down.",
        above=0,
    )

    ema_decay: float | None = option(
        None,
        "Decay of a moving average of the weights over the steps, such as 0.999; the averages are "
        "validated, tested and exported.",
        above=0,
        below=1,
    )
    loss_scale_growth_steps: int = option(
        2000,
        "float16: number of consecutive finite steps after which the loss scale is doubled.",
        at_least=1,
    )

    def __post_init__(self) -> None:
        check(self)
