"""Trains a run, from the start or from where its folder stands, and finishes it."""

from __future__ import annotations

import contextlib
import io
import tempfile

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import count_steps
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import Interrupted
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.results import finish_run
from vae_lowlevel.experiment.start import (
    PreparedRun,
    build_trainer,
    build_validation,
    count_total_steps,
    initialize_weights,
    prepare_run,
)
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.plots.grids import image_grid
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.training.checkpoint import RunCheckpoints, latest_step, restore_full
from vae_lowlevel.training.devices import configure_runtime, deterministic_operations
from vae_lowlevel.training.interrupts import StopRequest
from vae_lowlevel.training.loop import LoopSettings, TrainingLoop
from vae_lowlevel.training.named_variables import describe_frozen
from vae_lowlevel.training.observers import Observer, Profile, Reporter, Summaries
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.strategy import join_workers
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, Model

# Images in the grids of the TensorBoard summaries.
GRID_IMAGES = 16


def train_run(config: Config, folder: RunFolder) -> Model | None:
    """Trains to the end of the run, measures and exports its best weights.

    Of several workers, all train and all save; the chief alone prints, keeps what it wrote and
    finishes, while the others wait for it.

    Args:
        config: of the run.
        folder: its folder, opened for `config`.

    Returns:
        The model with the best weights; None if the run was finished before, and from workers other
        than the chief.

    Raises:
        Interrupted: SIGINT or SIGTERM came; the state is saved.
        DataError: the data are missing or damaged.
        RunError: gradients stayed non-finite, a checkpoint cannot be restored, or a worker was
            lost.
        ConfigError: the device does not exist, or `batch_size`, `freeze`, `init_from` or
            `conditional` do not fit.
    """
    model = None
    with contextlib.ExitStack() as stack:
        configure_runtime(config.training)
        stack.enter_context(deterministic_operations(config.training.deterministic))
        workers = join_workers(config.strategy)
        stack.enter_context(workers.watched())
        if not workers.is_chief:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        dataset = load_dataset(config.data)
        if _is_finished(config, folder, dataset):
            print(
                f"{folder.path} is finished. Raise --epochs or --train_steps to train on, or use "
                "--overwrite to start again."
            )
        else:
            progress, step = _train(config, folder, dataset, workers)
            if workers.is_chief:
                model = finish_run(config, folder, dataset, progress, step)
        workers.share(0.0)
    return model


def _is_finished(config: Config, folder: RunFolder, dataset: Dataset) -> bool:
    """Returns whether the run was trained to the length asked for, measured and exported."""
    if config.run.overwrite:
        return False
    metrics = folder.read_metrics()
    step = metrics.get("step", 0)
    if not step or step != latest_step(folder.checkpoints):
        return False
    steps_per_epoch = count_steps(len(dataset.train), config.training.batch_size)
    patience = config.training.early_stopping_patience
    epochs_since_best = metrics["history"][-1]["epoch"] - metrics["best_epoch"]
    is_out_of_patience = patience is not None and epochs_since_best >= patience
    return is_out_of_patience or step >= count_total_steps(config.training, steps_per_epoch)


def _train(
    config: Config, folder: RunFolder, dataset: Dataset, workers: Workers
) -> tuple[Progress, int]:
    """Trains to the end; returns the run's course and its last step."""
    run = prepare_run(config, dataset, workers)
    progress = Progress(run.columns)
    is_resumed = _restore(config, folder, dataset, workers, run, progress)
    validation = build_validation(config, run, dataset)
    if validation is not None:
        progress.choose_by(config.best_criterion, validation.score)
    with contextlib.ExitStack() as stack:
        # All workers save, as tf.distribute requires; what the others write is not kept.
        scratch = tempfile.TemporaryDirectory(prefix="vae_lowlevel-worker-")
        own = folder if workers.is_chief else RunFolder(stack.enter_context(scratch))
        own.begin(config, dataset)
        loop = TrainingLoop(
            LoopSettings(
                total_steps=run.total_steps,
                block_steps=config.training.steps_per_loop,
                checkpoint_every=config.training.checkpoint_every,
                patience=config.training.early_stopping_patience,
                batch_size=config.training.batch_size,
                block_ends=_profile_ends(config),
            ),
            build_trainer(config, run, workers),
            validation,
            RunCheckpoints(
                own.checkpoints, own.best, run.state, progress, config.training.max_to_keep
            ),
            workers,
            _build_observers(config, own, dataset, run) if workers.is_chief else (),
        )
        print(_describe(config, dataset, workers, run))
        if is_resumed:
            print(f"Resuming at step {int(run.state.step.numpy())}")
        with StopRequest() as stop:
            is_stopped = loop.run(stop)
    step = int(run.state.step.numpy())
    if is_stopped:
        raise Interrupted(
            f"{stop.signal_name or 'another worker stopped'}: saved at step {step} of "
            f"{run.total_steps}. Resume with: {folder.resume_command}"
        )
    return progress, step


def _restore(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    workers: Workers,
    run: PreparedRun,
    progress: Progress,
) -> bool:
    """Restores the latest state of the folder, or sets the first weights; returns whether it did.

    The workers compare the folder's state first: all of them restore it, or none.
    """
    with workers.strategy.scope():
        step = -1 if config.run.overwrite else latest_step(folder.checkpoints)
        workers.check_same(step, "step", "--model_dir must be a folder that all workers see")
        if step >= 0:
            return restore_full(folder.checkpoints, run.state, progress)
        initialize_weights(config, run.state, dataset)
    return False


def _build_observers(
    config: Config, folder: RunFolder, dataset: Dataset, run: PreparedRun
) -> list[Observer]:
    shown = (dataset.validation if len(dataset.validation) else dataset.train)[:GRID_IMAGES]
    seed = fold(make_seed(config.training.seed), "summaries")
    observers = [
        Summaries(folder.summaries, run.state.evaluated_model, shown, seed, image_grid),
        Reporter(run.total_steps, run.feed.steps_per_epoch),
    ]
    steps = config.training.profiled()
    return observers if steps is None else [*observers, Profile(folder.summaries, steps)]


def _profile_ends(config: Config) -> tuple[int, ...]:
    """Returns the steps at which a block has to end, so that the profile holds whole blocks."""
    steps = config.training.profiled()
    return () if steps is None else (steps[0] - 1, steps[1])


def _describe(config: Config, dataset: Dataset, workers: Workers, run: PreparedRun) -> str:
    """Returns what a run prints first: layers, KL, what is frozen, data, devices."""
    model = run.state.evaluated_model
    lines = [layer_table(model)]
    if isinstance(run.objective, Elbo):
        lines.append(assembly.describe_kl(run.objective, model))
    if config.training.freeze:
        lines.append(f"frozen: {describe_frozen(run.state.model, run.state.trained_variables())}")
    replicas = workers.strategy.num_replicas_in_sync
    devices = run.device if replicas == 1 else f"{replicas} x {run.device}"
    if workers.count > 1:
        devices += f" of {workers.count} workers"
    lines.append(
        f"{len(dataset.train)} training, {len(dataset.validation)} validation, "
        f"{len(dataset.test)} test images; {run.total_steps} steps, "
        f"{run.feed.steps_per_epoch} per epoch; {devices}, "
        f"XLA: {'replica' if run.device == 'TPU' else run.compilation}, "
        f"{run.feed.call_steps} steps per call"
    )
    return "\n".join(lines)
