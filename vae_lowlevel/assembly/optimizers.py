"""Settings of the optimizer -> what updates the weights."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from vae_lowlevel import schedules
from vae_lowlevel.assembly.models import build_model
from vae_lowlevel.config import Config, OptimizerConfig
from vae_lowlevel.optimizers.adam import Adam
from vae_lowlevel.optimizers.averaging import AveragedModel
from vae_lowlevel.optimizers.loss_scale import LossScale
from vae_lowlevel.types import Model


def build_learning_rate(
    config: OptimizerConfig, steps_per_epoch: int, total_steps: int
) -> schedules.Schedule:
    """Builds the learning-rate schedule; its lengths in epochs become steps."""
    if config.learning_rate_schedule == "cosine":
        schedule = schedules.cosine(
            config.learning_rate, total_steps, config.learning_rate_final_fraction
        )
    elif config.learning_rate_schedule == "exponential":
        schedule = schedules.exponential(
            config.learning_rate,
            config.learning_rate_decay,
            config.learning_rate_decay_epochs * steps_per_epoch,
        )
    else:
        schedule = schedules.constant(config.learning_rate)
    return schedules.with_warmup(schedule, config.learning_rate_warmup_steps)


def build_optimizer(config: OptimizerConfig, variables: Sequence[tf.Variable]) -> Adam:
    """Builds the optimizer of some variables, with their moments."""
    return Adam(
        variables,
        beta1=config.adam_beta1,
        beta2=config.adam_beta2,
        epsilon=config.adam_epsilon,
    )


def build_averaged_model(config: Config, model: Model) -> AveragedModel | None:
    """Builds the moving averages of a model, at its present weights; None without `ema_decay`."""
    if config.optimizer.ema_decay is None:
        return None
    copy = build_model(
        config.model,
        model.image_shape,
        config.training.seed,
        model.num_classes,
        config.training.parts,
    )
    averaged = AveragedModel(copy, config.optimizer.ema_decay)
    averaged.start(model)
    return averaged


def build_loss_scale(config: Config) -> LossScale | None:
    """Builds the dynamic loss scale of float16; None for other formats."""
    if config.model.precision != "float16":
        return None
    return LossScale(config.optimizer.loss_scale_growth_steps)
