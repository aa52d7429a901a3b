"""The bodies of the programs: config -> trained, measured and exported run."""

from __future__ import annotations

import functools
import os
import platform
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import vae_lowlevel
from vae_lowlevel import assembly, settings
from vae_lowlevel.anomaly import measure_normal_scores
from vae_lowlevel.config import Config
from vae_lowlevel.data.pipeline import BatchOrder, padded_batches
from vae_lowlevel.data.sources import load
from vae_lowlevel.errors import Interrupted
from vae_lowlevel.evaluation.figures import image_grid
from vae_lowlevel.evaluation.final_metrics import measure_test_split
from vae_lowlevel.evaluation.latents import active_units
from vae_lowlevel.evaluation.run_figures import draw_denoising, draw_run_figures
from vae_lowlevel.evaluation.term_means import TermMeans
from vae_lowlevel.export import export_run
from vae_lowlevel.initial_state import build_state, start_weights
from vae_lowlevel.loading import load_model_and_weights
from vae_lowlevel.models.table import layer_table
from vae_lowlevel.objectives.corruption import Corruption, build_corruption
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.training.checkpoint import RunCheckpoints, restore_best
from vae_lowlevel.training.compilation import choose_call_steps, choose_compilation
from vae_lowlevel.training.distribution import build_strategy
from vae_lowlevel.training.feed import ResidentFeed
from vae_lowlevel.training.initial_weights import describe_frozen
from vae_lowlevel.training.interrupts import StopRequest
from vae_lowlevel.training.loop import LoopSettings, TrainingLoop
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.reporter import Reporter
from vae_lowlevel.training.run_folder import RunFolder
from vae_lowlevel.training.runtime import configure_runtime, device_type
from vae_lowlevel.training.step import make_train_block, step_columns
from vae_lowlevel.training.summaries import Summaries
from vae_lowlevel.types import Dataset

DEFAULT_EPOCHS = 10
EVALUATION_BATCH = 500


def train_run(config: Config, folder: RunFolder) -> None:
    """Trains to the end of the run, from the start or from where its folder stands, and finishes.

    Args:
        config: of the run.
        folder: its folder, opened for `config`.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
        DataError: the data are missing or damaged.
        RunError: gradients stayed non-finite, or a checkpoint cannot be restored.
        ConfigError: the device is not there, or `freeze`, `init_from` or `conditional` do not fit.
    """
    configure_runtime(config.training)
    dataset = load(config.data)
    training = config.training
    order = BatchOrder(len(dataset.train), training.batch_size, training.seed)
    total_steps = (
        training.train_steps or (training.epochs or DEFAULT_EPOCHS) * order.steps_per_epoch
    )
    plain = assembly.build_objective(config.objective, order.steps_per_epoch, config.model.model)
    objective = assembly.fit_to_pixels(config, plain)
    strategy = build_strategy()
    with strategy.scope():
        state = build_state(config, dataset)
        columns = step_columns(objective, state)
        progress = Progress(len(columns))
        checkpoints = RunCheckpoints(folder.path, state, progress, training.max_to_keep)
        is_restored = checkpoints.restore()
        if not is_restored:
            start_weights(config, state, order, dataset)
    model = state.evaluated_model
    first_step = int(state.step.numpy())
    folder.describe(settings.format_flagfile(config), dataset)

    device = device_type()
    is_compiled = choose_compilation(config, device)
    call_steps = choose_call_steps(config, device, is_compiled)
    validation_means = TermMeans(model, objective, batch_size=EVALUATION_BATCH, seed=training.seed)

    def validate(step: int) -> dict[str, float]:
        batches = padded_batches(dataset.validation, EVALUATION_BATCH)
        means, z_mean = validation_means(batches, step)
        return {**means, "active_units": active_units(z_mean)}

    shown = dataset.validation if len(dataset.validation) else dataset.train
    reporter = Reporter(first_step, total_steps, order.steps_per_epoch)
    loop = TrainingLoop(
        settings=LoopSettings(
            total_steps=total_steps,
            block_steps=training.steps_per_loop,
            checkpoint_every=training.checkpoint_every,
            patience=training.early_stopping_patience,
            batch_size=training.batch_size,
        ),
        state=state,
        progress=progress,
        train_block=make_train_block(
            state,
            assembly.build_training_objective(config, plain),
            assembly.build_learning_rate(config.optimizer, order.steps_per_epoch, total_steps),
            strategy,
            batch_size=training.batch_size,
            block_steps=call_steps,
            clip=functools.partial(clip_gradients, clip_norm=config.optimizer.clip_norm),
            seed=training.seed,
            jit_compile=is_compiled,
        ),
        columns=columns,
        feed=ResidentFeed(
            tf.constant(dataset.train.image),
            tf.constant(dataset.train.label),
            order,
            call_steps,
        ),
        validate=validate if len(dataset.validation) else None,
        score=objective.score,
        checkpoints=checkpoints,
        summaries=Summaries(
            folder.path,
            model,
            shown.image[:16].astype(np.float32) / 255.0,
            shown.label[:16],
            fold(make_seed(training.seed), "summaries"),
            image_grid,
        ),
        reporter=reporter,
    )
    if is_restored and loop.is_over(first_step) and folder.is_finished(first_step):
        print(
            f"{folder.path} is finished: {first_step} steps, {len(progress.history)} epochs. "
            "Raise --epochs or --train_steps to train on, or use --overwrite to start anew."
        )
        return
    print(layer_table(model))
    if isinstance(plain, Elbo):
        print(assembly.describe_kl(plain, model))
    if training.freeze:
        print(f"frozen: {describe_frozen(state.model, state.trained_variables())}")
    print(
        f"{len(dataset.train)} training, {len(dataset.validation)} validation, "
        f"{len(dataset.test)} test images; {total_steps} steps, {order.steps_per_epoch} an epoch; "
        f"{device}, XLA {'on' if is_compiled else 'off'}, {call_steps} steps a call"
    )
    if is_restored:
        print(f"Going on at step {first_step}")
    with StopRequest() as stop:
        loop.run(stop)
    reporter.close()
    if stop:
        raise Interrupted(
            f"{stop.signal_name}: saved at step {int(state.step.numpy())} of {total_steps}. "
            f"Go on with: python -m vae_lowlevel.train --flagfile={folder.flagfile}"
        )
    _finish(config, folder, dataset, progress, int(state.step.numpy()))


def _finish(
    config: Config, folder: RunFolder, dataset: Dataset, progress: Progress, step: int
) -> None:
    """Measures the best weights on the test split, draws figures, exports, writes the metrics."""
    test = measure_run(config, dataset)
    # Kept in the run, so that it can be exported where its data are not.
    measure_normal_scores(*load_model_and_weights(folder.path), dataset, folder.path)
    print(f"\ntest split, weights of epoch {progress.best_epoch}:\n{format_metrics(test)}")
    export = None
    if config.run.export_dir:
        export = export_run(config.run.model_dir, config.run.export_dir, test_metrics=test)
    print(f"\nrun folder {folder.path}; figures in {os.path.join(folder.path, 'figures')}")
    if export:
        print(f"export {export}")
    folder.write_metrics(
        {
            "step": step,
            "best_epoch": progress.best_epoch,
            "train_seconds": progress.seconds,
            "images_per_second": step * config.training.batch_size / progress.seconds,
            "test": test,
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
    metrics = measure_run(config, load(config.data), build_corruption(corruption, strength))
    if corruption == "none":
        folder.update_metrics({"test": metrics})
    else:
        described = {"corruption": corruption, "corruption_strength": strength, **metrics}
        folder.update_metrics({"test_corrupted": described})
    return metrics


def format_metrics(metrics: dict[str, Any]) -> str:
    """Returns the test metrics, one a line."""
    width = max(12, *map(len, metrics)) + 1
    return "\n".join(
        f"  {name:<{width}}{value:.4f}" if isinstance(value, float) else f"  {name:<{width}}{value}"
        for name, value in metrics.items()
        if name != "latents"
    )
