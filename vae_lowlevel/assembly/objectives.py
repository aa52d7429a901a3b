"""Settings of the objective -> what is minimized, what is done to batches, what is best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import tensorflow as tf

from vae_lowlevel import schedules
from vae_lowlevel.config import Config
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.objectives.importance_weighted import ImportanceWeighted
from vae_lowlevel.objectives.input_noise import binarize, build_corruption, compose
from vae_lowlevel.objectives.sparsity import Sparsity
from vae_lowlevel.objectives.total_correlation import TotalCorrelation
from vae_lowlevel.types import Model, Objective, Transform

# (step, means of the validation split) -> score, higher is better; None where it does not compare.
Score = Callable[[int, Mapping[str, float]], float | None]


def build_objective(
    config: Config, image_shape: tuple[int, int, int], steps_per_epoch: int
) -> Objective:
    """Builds the objective of training and validation; schedules given in epochs become steps."""
    objective = config.objective
    if objective.kl_schedule == "linear":
        steps = objective.kl_warmup_epochs * steps_per_epoch
        kl_weight = schedules.linear(objective.kl_weight, steps)
    elif objective.kl_schedule == "cyclical":
        steps = objective.kl_cycle_epochs * steps_per_epoch
        kl_weight = schedules.cyclical(objective.kl_weight, steps, objective.kl_ramp_fraction)
    else:
        kl_weight = schedules.constant(objective.kl_weight)
    capacity = None
    if objective.capacity is not None:
        steps = objective.capacity_epochs * steps_per_epoch
        capacity = schedules.linear(objective.capacity, steps)
    return _build(config, image_shape, steps_per_epoch, kl_weight, capacity)


def build_final_objective(
    config: Config, image_shape: tuple[int, int, int], steps_per_epoch: int
) -> Objective:
    """Builds the objective with the final KL weight and capacity, for the test split."""
    kl_weight, capacity = config.objective.kl_weight, config.objective.capacity
    return _build(
        config,
        image_shape,
        steps_per_epoch,
        schedules.constant(kl_weight),
        None if capacity is None else schedules.constant(capacity),
    )


def _build(
    config: Config,
    image_shape: tuple[int, int, int],
    steps_per_epoch: int,
    kl_weight: schedules.Schedule,
    capacity: schedules.Schedule | None,
) -> Objective:
    objective = config.objective
    if config.model.model == "sparse_autoencoder":
        return Sparsity(
            target=objective.sparsity_target,
            weight=objective.sparsity_weight,
            pixel_reduction=objective.pixel_reduction,
        )
    if objective.objective == "tcvae":
        examples = steps_per_epoch * config.training.batch_size
        return TotalCorrelation(kl_weight=kl_weight, examples=examples)
    bpd_dimensions = math.prod(image_shape) if config.model.has_grey_levels else None
    if objective.objective in ("iwae", "dreg"):
        return ImportanceWeighted(
            kl_weight=kl_weight,
            num_samples=objective.num_samples,
            is_doubly_reparameterized=objective.objective == "dreg",
            bpd_dimensions=bpd_dimensions,
        )
    return Elbo(
        kl_weight=kl_weight,
        num_samples=objective.num_samples,
        pixel_reduction=objective.pixel_reduction,
        free_bits=objective.free_bits,
        kl_estimator=objective.kl_estimator,
        capacity=capacity,
        bpd_dimensions=bpd_dimensions,
    )


def build_training_transform(config: Config) -> Transform | None:
    """Builds what is done to every training batch.

    A dynamically binarized image is drawn first: the black and white pixels are the target, and
    they are what a corruption changes.
    """
    binarization = binarize if config.data.binarize == "dynamic" else None
    return compose(binarization, build_run_corruption(config))


def build_run_corruption(config: Config) -> Transform | None:
    """Builds the corruption of a denoising run, for training and validation; None without one."""
    return build_corruption(config.objective.corruption, config.objective.corruption_strength)


def build_score(config: Config, objective: Objective) -> Score:
    """Builds what the best weights are chosen by, from `Config.best_criterion`.

    The ELBO carries no weight, so that the scores of all epochs compare. The loss of an epoch
    counts only once the KL weight and the capacity have their final values.
    """
    if config.best_criterion == "elbo":
        return lambda step, means: means["elbo"]
    final = {"kl_weight": config.objective.kl_weight, "capacity": config.objective.capacity}

    def score(step: int, means: Mapping[str, float]) -> float | None:
        values = {name: float(schedule(step)) for name, schedule in objective.schedules.items()}
        # Schedules compute in float32.
        if any(not math.isclose(v, final[n], rel_tol=1e-6) for n, v in values.items()):
            return None
        return -means["loss"]

    return score


def describe_kl(objective: Elbo, model: Model) -> str:
    """Returns one line on how the KL is computed, for the log."""
    if objective.is_analytic(model.conditioned_on(tf.constant([0]))):
        return "KL from its closed form"
    draws = "one draw" if objective.num_samples == 1 else f"{objective.num_samples} draws"
    return f"KL from {draws} of z per image (Monte Carlo): no closed form is used"
