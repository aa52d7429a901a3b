"""Config -> built objects. The one place that knows which setting chooses which class."""

from vae_lowlevel.assembly.models import build_float32_model, build_model
from vae_lowlevel.assembly.objectives import (
    build_final_objective,
    build_objective,
    build_run_corruption,
    build_score,
    build_training_transform,
    describe_kl,
)
from vae_lowlevel.assembly.optimizers import (
    build_averaged_model,
    build_learning_rate,
    build_loss_scale,
    build_optimizer,
)
from vae_lowlevel.assembly.samplers import build_aggregate, build_sampler

__all__ = [
    "build_aggregate",
    "build_averaged_model",
    "build_final_objective",
    "build_float32_model",
    "build_learning_rate",
    "build_loss_scale",
    "build_model",
    "build_objective",
    "build_optimizer",
    "build_run_corruption",
    "build_sampler",
    "build_score",
    "build_training_transform",
    "describe_kl",
]
