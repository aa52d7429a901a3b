"""The results of a run, from its best weights: test metrics, figures, anomaly scores, export."""

from __future__ import annotations

import contextlib
import platform
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import vae_lowlevel
from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.evaluation.metrics import measure_test_split
from vae_lowlevel.experiment.anomaly import measure_normal_scores
from vae_lowlevel.experiment.exporting import publish_model
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.experiment.reporting import write_report
from vae_lowlevel.experiment.tensorboard import write_final_summaries
from vae_lowlevel.experiment.visualizing import discard_figures, draw_run
from vae_lowlevel.objectives.input_noise import build_corruption
from vae_lowlevel.serving import version_folder
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.training.collapse import COLLAPSED_RATE
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
    if not config.run.export_dir:
        return _finish_run(config, folder, dataset, progress, step, None)
    with version_folder.start_replay() as replaying:
        return _finish_run(config, folder, dataset, progress, step, replaying)


def _finish_run(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    progress: Progress,
    step: int,
    replaying: subprocess.Popen | None,
) -> Model:
    best = load_best(folder)
    test = measure_test(config, best.model, dataset)
    course = {"history": progress.history, "best_epoch": progress.best_epoch}
    if config.run.figures:
        discard_figures(folder)
        draw_run(config, folder, dataset, best.model, course)
    print(f"\ntest split, weights of epoch {progress.best_epoch}:\n{format_metrics(test)}")
    if rates := format_unit_rates(test["latents"]):
        print(rates)
    corrupted = {}
    if config.objective.corruption != "none":
        metrics = measure_corrupted(
            config,
            best.model,
            dataset,
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
        export = publish_model(
            serving_model, best, scores, test, options, publication, replaying=replaying
        )
    best_step = progress.best_step or step
    write_final_summaries(config, folder, dataset, best.model, best_step, test, export)
    print(f"\nrun folder {folder.path}")
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
    if config.run.figures:
        print(f"report {write_report(config, folder)}")
    return best.model


def format_metrics(metrics: dict[str, Any]) -> str:
    """Returns metrics, one per line; those of a group, such as `bounds`, by group and name."""
    for group in [name for name, value in metrics.items() if isinstance(value, dict)]:
        metrics = {**metrics, **{f"{group}.{k}": v for k, v in metrics[group].items()}}
        del metrics[group]
    width = max(12, *map(len, metrics)) + 1
    return "\n".join(
        f"  {name:<{width}}{value:.4f}" if isinstance(value, float) else f"  {name:<{width}}{value}"
        for name, value in metrics.items()
        if name != "latents"
    )


def format_unit_rates(latents: Sequence[dict[str, float]]) -> str:
    """Returns the KL of each latent unit, the largest first, in 80 columns; "" where none is known.

    Args:
        latents: of the test metrics, one per unit.
    """
    rates = {
        unit: statistics["kl"] for unit, statistics in enumerate(latents) if "kl" in statistics
    }
    if not rates:
        return ""
    shown = sorted((unit for unit in rates if rates[unit] >= COLLAPSED_RATE), key=rates.get)[::-1]
    lines = [f"KL per unit, nats ({len(shown)} of {len(rates)} have {COLLAPSED_RATE} or more):"]
    for start in range(0, len(shown), 6):
        cells = (f"{f'z{unit}':>5} {rates[unit]:6.3f}" for unit in shown[start : start + 6])
        lines.append(" ".join(cells))
    return "\n".join(lines)


def measure_test(
    config: Config, model: Model, dataset: Dataset, transform: Transform | None = None
) -> dict[str, Any]:
    """Returns the metrics of the test split; see `measure_test_split`."""
    batch_size = config.training.evaluation_batch_size
    with _in_parts(model, config.training.parts):
        return measure_test_split(
            model,
            assembly.build_final_objective(
                config,
                dataset.image_shape,
                # At least 1: a run can be measured on less data than it was trained on.
                max(1, len(dataset.train) // config.training.batch_size),
            ),
            padded_batches(dataset.test, batch_size),
            batch_size=batch_size,
            seed=config.training.seed,
            transform=transform,
        )


@contextlib.contextmanager
def _in_parts(model: Model, parts: int) -> Iterator[None]:
    """Processes batches in parts, as in training; what is exported has none."""
    networks = model.encoder, model.decoder
    for network in networks:
        network.batch_parts = parts
    try:
        yield
    finally:
        for network in networks:
            network.batch_parts = 1


def measure_corrupted(
    config: Config, model: Model, dataset: Dataset, corruption: str, strength: float
) -> dict[str, Any]:
    """Returns the metrics of reconstructions of corrupted images, and what corrupted them."""
    metrics = measure_test(config, model, dataset, build_corruption(corruption, strength))
    return {"corruption": corruption, "corruption_strength": strength, **metrics}
