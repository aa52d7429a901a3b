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
        "Decay after the warm-up. cosine goes over all steps of the run.",
        choices=("constant", "cosine", "exponential"),
    )
    learning_rate_warmup_steps: int = option(
        0, "Steps over which the learning rate rises linearly from 0.", at_least=0
    )
    learning_rate_final_fraction: float = option(
        0.01, "cosine: final learning rate as a part of the peak.", at_least=0, at_most=1
    )
    learning_rate_decay: float = option(
        0.9, "exponential: factor a learning_rate_decay_epochs.", above=0, at_most=1
    )
    learning_rate_decay_epochs: float = option(
        1.0, "exponential: epochs in which the rate falls by the factor.", above=0
    )
    adam_beta1: float = option(0.9, "Decay of Adam's first moment.", at_least=0, below=1)
    adam_beta2: float = option(0.999, "Decay of Adam's second moment.", at_least=0, below=1)
    adam_epsilon: float = option(1e-7, "Adam's epsilon, added to the root.", above=0)
    clip_norm: float | None = option(None, "Bound on the global norm of the gradient.", above=0)

    ema_decay: float | None = option(
        None,
        "Averages the weights over the steps with this decay (0.999 or so); the averages are what "
        "is validated, tested and exported.",
        above=0,
        below=1,
    )
    loss_scale_growth_steps: int = option(
        2000, "float16: good steps in a row after which the loss scale is doubled.", at_least=1
    )

    def __post_init__(self) -> None:
        check(self)
