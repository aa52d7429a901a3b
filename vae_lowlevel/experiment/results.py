"""Measures the best weights of a run on its test split."""

from __future__ import annotations

import os
from typing import Any

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.evaluation.metrics import measure_test_split
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.objectives.corruption import Corruption, build_corruption
from vae_lowlevel.plots.run_figures import draw_denoising, draw_run_figures
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.training.checkpoint import restore_best
from vae_lowlevel.training.devices import configure_runtime
from vae_lowlevel.types import Dataset

EVALUATION_BATCH = 500


def measure_run(
    config: Config, dataset: Dataset, corruption: Corruption | None = None
) -> dict[str, Any]:
    """Measures the best weights of a run on the test split, in float32, and draws its figures.

    Args:
        config: of the run.
        dataset: its data.
        corruption: of what the encoder sees; then `denoising.png` is the one figure drawn.

    Returns:
        What `evaluation.final_metrics.measure_test_split` returns.
    """
    model = assembly.build_float32_model(config, dataset.image_shape, dataset.num_classes)
    restore_best(config.run.model_dir, model)
    seed = config.training.seed
    metrics = measure_test_split(
        model,
        assembly.fit_to_pixels(
            config, assembly.build_final_objective(config.objective, config.model.model)
        ),
        padded_batches(dataset.test, EVALUATION_BATCH),
        batch_size=EVALUATION_BATCH,
        seed=seed,
        corruption=corruption,
    )
    figures = os.path.join(config.run.model_dir, "figures")
    if corruption is None:
        draw_run_figures(model, dataset.test, figures, fold(make_seed(seed), "figures"))
    else:
        draw_denoising(model, dataset.test, os.path.join(figures, "denoising.png"), corruption)
    return metrics


def measure_corrupted(
    config: Config, dataset: Dataset, corruption: str, strength: float
) -> dict[str, Any]:
    """Measures as `measure_run` does, of corrupted images, and says of which.

    Args:
        config: of the run.
        dataset: its data.
        corruption: of what the encoder sees, as `--corruption`.
        strength: of the corruption.

    Returns:
        `corruption`, `corruption_strength`, and what `measure_run` returns.
    """
    metrics = measure_run(config, dataset, build_corruption(corruption, strength))
    return {"corruption": corruption, "corruption_strength": strength, **metrics}


def evaluate_run(
    config: Config, folder: RunFolder, corruption: str = "none", strength: float = 0.0
) -> dict[str, Any]:
    """Measures a run again; a finished run's `metrics.json` takes the new numbers.

    Args:
        config: of the run.
        folder: its folder.
        corruption: of what the encoder sees, as `--corruption`; the measure of corrupted images
            stands beside that of clean ones, as `test_corrupted`.
        strength: of the corruption.
    """
    configure_runtime(config.training)
    dataset = load_dataset(config.data)
    if corruption == "none":
        metrics = measure_run(config, dataset)
        folder.update_metrics({"test": metrics})
    else:
        metrics = measure_corrupted(config, dataset, corruption, strength)
        folder.update_metrics({"test_corrupted": metrics})
    return metrics


def format_metrics(metrics: dict[str, Any]) -> str:
    """Returns the test metrics, one a line."""
    width = max(12, *map(len, metrics)) + 1
    return "\n".join(
        f"  {name:<{width}}{value:.4f}" if isinstance(value, float) else f"  {name:<{width}}{value}"
        for name, value in metrics.items()
        if name != "latents"
    )
