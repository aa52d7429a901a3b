"""Settings of the objective -> what is minimised and measured."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from vae_lowlevel import schedules
from vae_lowlevel.config import Config, ObjectiveConfig
from vae_lowlevel.models.conditional_vae import ConditionalVAE
from vae_lowlevel.models.vae import VariationalAutoencoder
from vae_lowlevel.objectives.bits_per_dim import WithBitsPerDim
from vae_lowlevel.objectives.corruption import Corruption, build_corruption
from vae_lowlevel.objectives.denoising import Denoising
from vae_lowlevel.objectives.dynamic_binarization import DynamicBinarization
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.sparsity import Sparsity


def build_objective(
    config: ObjectiveConfig, steps_per_epoch: int, model: str = "vae"
) -> Elbo | Sparsity:
    """Builds the objective of a kind of model; schedules given in epochs become steps."""
    if model == "sparse_autoencoder":
        return Sparsity(
            target=config.sparsity_target,
            weight=config.sparsity_weight,
            pixel_reduction=config.pixel_reduction,
        )
    if config.kl_schedule == "linear":
        weight = schedules.linear(config.kl_weight, config.kl_warmup_epochs * steps_per_epoch)
    elif config.kl_schedule == "cyclical":
        weight = schedules.cyclical(
            config.kl_weight, config.kl_cycle_epochs * steps_per_epoch, config.kl_ramp_fraction
        )
    else:
        weight = schedules.constant(config.kl_weight)
    capacity = None
    if config.capacity is not None:
        capacity = schedules.linear(config.capacity, config.capacity_epochs * steps_per_epoch)
    return _build_elbo(config, weight, capacity)


def _build_elbo(
    config: ObjectiveConfig,
    kl_weight: schedules.Schedule,
    capacity: schedules.Schedule | None,
) -> Elbo:
    return Elbo(
        kl_weight=kl_weight,
        pixel_reduction=config.pixel_reduction,
        free_bits=config.free_bits,
        kl_estimator=config.kl_estimator,
        capacity=capacity,
    )


def build_final_objective(config: ObjectiveConfig, model: str = "vae") -> Elbo | Sparsity:
    """Builds the objective with the full KL weight and capacity, for the test at the end."""
    if model == "sparse_autoencoder":
        return build_objective(config, steps_per_epoch=1, model=model)
    capacity = None if config.capacity is None else schedules.constant(config.capacity)
    return _build_elbo(config, schedules.constant(config.kl_weight), capacity)


def build_training_objective(config: Config, objective: Elbo | Sparsity) -> Callable[..., Any]:
    """Builds what training minimises: the objective, of corrupted images where that is asked.

    What is corrupted is the target, so dynamically binarised images first get their black and
    white pixels.
    """
    corruption = build_run_corruption(config.objective)
    if corruption is not None:
        objective = Denoising(objective, corruption)
    return fit_to_pixels(config, objective)


def build_run_corruption(config: ObjectiveConfig) -> Corruption | None:
    """Builds what is done to the images that the encoder sees in training and validation."""
    return build_corruption(config.corruption, config.corruption_strength)


def fit_to_pixels(config: Config, objective: Callable[..., Any]) -> Callable[..., Any]:
    """Adds to an objective what the kind of its pixels asks for.

    Bits per dimension for a VAE with a likelihood of grey levels; a new draw of black and white
    pixels at every step for `--binarize=dynamic`.
    """
    if config.model.likelihood == "discretized_logistic" and config.model.model == "vae":
        objective = WithBitsPerDim(objective)
    if config.data.binarize == "dynamic":
        objective = DynamicBinarization(objective)
    return objective


def describe_kl(objective: Elbo, model: VariationalAutoencoder | ConditionalVAE) -> str:
    """Returns one line on how the KL is computed, for the log."""
    if objective.is_analytic(model.conditioned_on(tf.constant([0]))):
        return "KL from its closed form"
    return "KL from one draw of z an image (Monte Carlo): no closed form is used"
