"""The results of a run, from its best weights: test metrics, figures, anomaly scores, export."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import vae_lowlevel
from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.evaluation.metrics import measure_test_split
from vae_lowlevel.experiment.anomaly import measure_normal_scores
from vae_lowlevel.experiment.exporting import publish_model
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.objectives.input_noise import build_corruption
from vae_lowlevel.plots.run_figures import draw_denoising, draw_run_figures
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.training.devices import configure_runtime, deterministic_operations
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.types import Dataset, Model, Transform


def finish_run(
    config: Config, folder: RunFolder, dataset: Dataset, progress: Progress, step: int
) -> Model:
    """Measures the best weights on the test split, draws figures, exports, writes the metrics.

    Args:
        config: of the run.
        folder: its folder.
        dataset: its data.
        progress: its course.
        step: its last step.

    Returns:
        The model with the best weights, float32.
    """
    best = load_best(folder)
    test = _measure(config, best.model, dataset)
    _draw(config, best.model, dataset, folder)
    print(f"\ntest split, weights of epoch {progress.best_epoch}:\n{format_metrics(test)}")
    corrupted = {}
    if config.objective.corruption != "none":
        metrics = _measure_corrupted(
            config,
            best.model,
            dataset,
            folder,
            config.objective.corruption,
            config.objective.corruption_strength,
        )
        corrupted = {"test_corrupted": metrics}
        print(f"\ntest split, corrupted as in training:\n{format_metrics(metrics)}")
    serving_model = ServingModel(best.model)
    scores = measure_normal_scores(serving_model, best, dataset, folder)
    export = None
    if config.run.export_dir:
        options = ExportOptions(model_dir=folder.path, export_dir=config.run.export_dir)
        publication = folder.name_publication(step)
        export = publish_model(serving_model, best, scores, test, options, publication)
    print(f"\nrun folder {folder.path}; figures in {folder.figures}")
    if export:
        print(f"export {export}")
    folder.write_metrics(
        {
            "step": step,
            "best_epoch": progress.best_epoch,
            "best_by": progress.best_by,
            "train_seconds": progress.seconds,
            "images_per_second": step * config.training.batch_size / progress.seconds,
            "test": test,
            **corrupted,
            "history": progress.history,
            "export": export,
            "flags": config.to_flat(),
            "versions": {
                "vae_lowlevel": vae_lowlevel.__version__,
                "tensorflow": tf.__version__,
                "tensorflow_probability": tfp.__version__,
                "numpy": np.__version__,
                "python": platform.python_version(),
            },
        }
    )
    return best.model


def evaluate_run(
    config: Config, folder: RunFolder, corruption: str = "none", strength: float = 0.0
) -> dict[str, Any]:
    """Measures a run again and draws its figures; updates `metrics.json` of a finished run.

    Args:
        config: of the run, for one device.
        folder: its folder.
        corruption: of what the encoder sees, as `--corruption`; the metrics of corrupted images are
            stored next to those of clean ones, as `test_corrupted`.
        strength: of the corruption.

    Returns:
        The metrics, by name.
    """
    configure_runtime(config.training)
    with deterministic_operations(config.training.deterministic):
        folder.read_metrics()  # Refuses a damaged file before the work.
        dataset = load_dataset(config.data)
        model = load_best(folder).model
        if corruption == "none":
            metrics = _measure(config, model, dataset)
            _draw(config, model, dataset, folder)
            folder.update_metrics({"test": metrics})
        else:
            metrics = _measure_corrupted(config, model, dataset, folder, corruption, strength)
            folder.update_metrics({"test_corrupted": metrics})
    return metrics


def format_metrics(metrics: dict[str, Any]) -> str:
    """Returns the test metrics, one per line."""
    width = max(12, *map(len, metrics)) + 1
    return "\n".join(
        f"  {name:<{width}}{value:.4f}" if isinstance(value, float) else f"  {name:<{width}}{value}"
        for name, value in metrics.items()
        if name != "latents"
    )


def _measure(
    config: Config, model: Model, dataset: Dataset, transform: Transform | None = None
) -> dict[str, Any]:
    batch_size = config.training.evaluation_batch_size
    return measure_test_split(
        model,
        assembly.build_final_objective(config, dataset.image_shape),
        padded_batches(dataset.test, batch_size),
        batch_size=batch_size,
        seed=config.training.seed,
        transform=transform,
    )


def _measure_corrupted(
    config: Config,
    model: Model,
    dataset: Dataset,
    folder: RunFolder,
    corruption: str,
    strength: float,
) -> dict[str, Any]:
    """Measures reconstructions of corrupted images, and draws some of them."""
    transform = build_corruption(corruption, strength)
    metrics = _measure(config, model, dataset, transform)
    draw_denoising(model, dataset.test, folder.figure("denoising"), transform)
    return {"corruption": corruption, "corruption_strength": strength, **metrics}


def _draw(config: Config, model: Model, dataset: Dataset, folder: RunFolder) -> None:
    seed = fold(make_seed(config.training.seed), "figures")
    draw_run_figures(model, dataset.test, dataset.class_names, folder.figures, seed)
