"""The body of `train`: config -> trained, measured and exported run."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import platform
import tempfile

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import vae_lowlevel
from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import format_flagfile
from vae_lowlevel.data.batching import padded_batches
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import Interrupted
from vae_lowlevel.evaluation.metrics import active_units
from vae_lowlevel.evaluation.term_means import TermMeans
from vae_lowlevel.experiment import results
from vae_lowlevel.experiment.anomaly import measure_normal_scores
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_model_and_weights
from vae_lowlevel.experiment.start import build_feed, build_state, start_weights
from vae_lowlevel.export import export_run
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.optimizers.clipping import clip_gradients
from vae_lowlevel.plots.grids import image_grid
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.training.checkpoint import RunCheckpoints
from vae_lowlevel.training.devices import (
    choose_call_steps,
    choose_compilation,
    configure_runtime,
    device_type,
)
from vae_lowlevel.training.interrupts import StopRequest
from vae_lowlevel.training.loop import LoopSettings, TrainingLoop
from vae_lowlevel.training.named_variables import describe_frozen
from vae_lowlevel.training.observers import Profile, Reporter, Summaries
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.step import make_train_block, step_columns
from vae_lowlevel.training.strategy import check_batch_size, join_workers
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, to_unit

DEFAULT_EPOCHS = 10


def train_run(config: Config, folder: RunFolder) -> None:
    """Trains to the end of the run, from the start or from where its folder stands, and finishes.

    Of several workers, all train and all save; the chief alone prints, keeps what it wrote and
    finishes, while the others wait for it.

    Args:
        config: of the run.
        folder: its folder, opened for `config`.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
        DataError: the data are missing or damaged.
        RunError: gradients stayed non-finite, a checkpoint cannot be restored, or a worker was
            lost.
        ConfigError: the device is not there, or `freeze`, `init_from` or `conditional` do not fit.
    """
    configure_runtime(config.training)
    workers = join_workers(config.strategy)
    with contextlib.ExitStack() as stack:
        stack.enter_context(workers.watched())
        if not workers.is_chief:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
            scratch = tempfile.TemporaryDirectory(prefix="vae_lowlevel-worker-")
            folder = RunFolder(stack.enter_context(scratch))
        dataset = load_dataset(config.data)
        trained = _train(config, folder, dataset, workers)
        if trained is not None and workers.is_chief:
            _finish(config, folder, dataset, *trained)
        workers.share(0.0)


def _train(
    config: Config, folder: RunFolder, dataset: Dataset, workers: Workers
) -> tuple[Progress, int] | None:
    """Trains to the end; returns its course and last step, or None if it was finished before."""
    training = config.training
    strategy, replicas = workers.strategy, workers.strategy.num_replicas_in_sync
    check_batch_size(training.batch_size, replicas, training.accumulate_steps)
    device = device_type(strategy)
    compilation = choose_compilation(config, device, replicas)
    feed = build_feed(config, dataset, workers, choose_call_steps(config, device, compilation))
    total_steps = training.train_steps or (training.epochs or DEFAULT_EPOCHS) * feed.steps_per_epoch
    plain = assembly.build_objective(config.objective, feed.steps_per_epoch, config.model.model)
    objective = assembly.fit_to_pixels(config, plain)
    with strategy.scope():
        state = build_state(config, dataset)
        columns = step_columns(objective, state)
        progress = Progress(len(columns))
        checkpoints = RunCheckpoints(
            folder.path, state, progress, training.max_to_keep, restore_from=config.run.model_dir
        )
        # Before the weights are restored or not, which all workers do together.
        workers.check_same(
            checkpoints.latest_step(), "step", "--model_dir must be a folder that all workers see"
        )
        is_restored = checkpoints.restore()
        if not is_restored:
            start_weights(config, state, dataset)
    model = state.evaluated_model
    first_step = int(state.step.numpy())
    folder.describe(format_flagfile(config), dataset)

    batch_size = results.EVALUATION_BATCH
    validation_means = TermMeans(
        model,
        objective,
        batch_size=batch_size,
        seed=training.seed,
        # What a denoising model is for is what its best weights are chosen by.
        corruption=assembly.build_run_corruption(config.objective),
    )

    def validate(step: int) -> dict[str, float]:
        batches = padded_batches(dataset.validation, batch_size)
        means, z_mean = validation_means(batches, step)
        return {**means, "active_units": active_units(z_mean)}

    shown = (dataset.validation if len(dataset.validation) else dataset.train)[:16]
    reporter = Reporter(first_step, total_steps, feed.steps_per_epoch)
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
            assembly.build_learning_rate(config.optimizer, feed.steps_per_epoch, total_steps),
            strategy,
            batch_size=training.batch_size,
            accumulate_steps=training.accumulate_steps,
            block_steps=feed.call_steps,
            clip=functools.partial(clip_gradients, clip_norm=config.optimizer.clip_norm),
            seed=training.seed,
            compilation=compilation,
        ),
        columns=columns,
        feed=feed,
        validate=validate if len(dataset.validation) else None,
        score=objective.score,
        checkpoints=checkpoints,
        summaries=Summaries(
            folder.path,
            model,
            to_unit(shown.image).numpy(),
            shown.label,
            fold(make_seed(training.seed), "summaries"),
            image_grid,
        ),
        reporter=reporter,
        workers=workers,
        profile=Profile(folder.path, training.profiled()),
    )
    if (
        is_restored
        and loop.is_over(first_step)
        and RunFolder(config.run.model_dir).is_finished(first_step)
    ):
        print(
            f"{config.run.model_dir} is finished: {first_step} steps, "
            f"{len(progress.history)} epochs. Raise --epochs or --train_steps to train on, or use "
            "--overwrite to start anew."
        )
        return None
    print(layer_table(model))
    if isinstance(plain, Elbo):
        print(assembly.describe_kl(plain, model))
    if training.freeze:
        print(f"frozen: {describe_frozen(state.model, state.trained_variables())}")
    print(
        f"{len(dataset.train)} training, {len(dataset.validation)} validation, "
        f"{len(dataset.test)} test images; {total_steps} steps, {feed.steps_per_epoch} an epoch; "
        f"{_count_devices(replicas, workers.count, device)}, "
        f"XLA: {'replica' if device == 'TPU' else compilation}, {feed.call_steps} steps a call"
    )
    if is_restored:
        print(f"Going on at step {first_step}")
    with StopRequest() as stop:
        is_stopped = loop.run(stop)
    reporter.close()
    last_step = int(state.step.numpy())
    if is_stopped:
        raise Interrupted(
            f"{stop.signal_name or 'another worker stopped'}: saved at step {last_step} of "
            f"{total_steps}. Go on with: python -m vae_lowlevel.train --flagfile="
            f"{RunFolder(config.run.model_dir).flagfile}"
        )
    return progress, last_step


def _count_devices(replicas: int, workers: int, device: str) -> str:
    if replicas == 1:
        return device
    return f"{replicas} x {device}" + (f" of {workers} workers" if workers > 1 else "")


def _finish(
    config: Config, folder: RunFolder, dataset: Dataset, progress: Progress, step: int
) -> None:
    """Measures the best weights on the test split, draws figures, exports, writes the metrics."""
    test = results.measure_run(config, dataset)
    # Kept in the run, so that it can be exported where its data are not.
    measure_normal_scores(*load_model_and_weights(folder.path), dataset, folder.path)
    print(f"\ntest split, weights of epoch {progress.best_epoch}:\n{results.format_metrics(test)}")
    corrupted = {}
    if config.objective.corruption != "none":
        kind, strength = config.objective.corruption, config.objective.corruption_strength
        metrics = results.measure_corrupted(config, dataset, kind, strength)
        corrupted = {"test_corrupted": metrics}
        print(f"\ntest split, corrupted as in training:\n{results.format_metrics(metrics)}")
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
