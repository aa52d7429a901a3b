"""Trains a run, from the start or from where its folder stands, and finishes it."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Sequence

from vae_lowlevel import assembly
from vae_lowlevel.config import PER_WORKER, Config, digest
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import Interrupted
from vae_lowlevel.experiment import interrupts
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.restoring import is_finished, restore_or_initialize
from vae_lowlevel.experiment.results import finish_run
from vae_lowlevel.experiment.start import (
    PreparedRun,
    build_trainer,
    build_validation,
    prepare_run,
)
from vae_lowlevel.experiment.watching import build_observers
from vae_lowlevel.models.layer_table import layer_table
from vae_lowlevel.objectives.elbo import Elbo
from vae_lowlevel.training.checkpoint import RunCheckpoints
from vae_lowlevel.training.checkpoint_files import CheckpointFiles
from vae_lowlevel.training.devices import (
    choose_batch_parts,
    choose_precision,
    configure_runtime,
    deterministic_operations,
)
from vae_lowlevel.training.loop import LoopSettings, TrainingLoop
from vae_lowlevel.training.named_variables import describe_frozen
from vae_lowlevel.training.observers import Observer
from vae_lowlevel.training.progress import Progress
from vae_lowlevel.training.strategy import join_workers
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, Model


def train_run(
    config: Config,
    folder: RunFolder,
    watchers: Sequence[Observer] = (),
    *,
    shows_progress: bool = True,
) -> Model | None:
    """Trains to the end of the run, measures and exports its best weights.

    Of several workers, all train and all save; the chief alone prints, keeps what it wrote and
    finishes, while the others wait for it.

    Args:
        config: of the run.
        folder: its folder, opened for `config`.
        watchers: what else observes the training.
        shows_progress: report the progress, as a bar or in lines.

    Returns:
        The model with the best weights; None if the run was finished before, and from workers other
        than the chief.

    Raises:
        Interrupted: SIGINT, SIGTERM or SIGHUP came; the state is saved.
        KeyboardInterrupt: one of them came before there was a state to save.
        DataError: the data are missing or damaged.
        RunError: gradients stayed non-finite, a checkpoint cannot be restored, or a worker was
            lost.
        ConfigError: the device does not exist, or `batch_size`, `freeze`, `init_from` or
            `conditional` do not fit.
    """
    try:
        return _train_and_finish(config, folder, watchers, shows_progress)
    except Interrupted:
        raise
    except (KeyboardInterrupt, Exception) as error:
        # A signal may come out of TensorFlow as another error.
        if not (isinstance(error, KeyboardInterrupt) or interrupts.received()):
            raise
        steps = CheckpointFiles(folder.checkpoints).steps()
        name = interrupts.received() or "Ctrl-C"
        if not steps:
            raise KeyboardInterrupt(name) from None
        raise Interrupted(
            f"{name}: step {steps[-1]} is saved. The same command does the rest: "
            f"{folder.resume_command}"
        ) from None


def _train_and_finish(
    config: Config, folder: RunFolder, watchers: Sequence[Observer], shows_progress: bool
) -> Model | None:
    model = None
    with contextlib.ExitStack() as stack:
        is_begun = folder.is_run() and not config.run.overwrite
        kept_precision = folder.read_config().model.precision if is_begun else ""
        given = config = config.replace(precision=choose_precision(config, kept_precision))
        kept = 0 if config.run.overwrite else folder.read_batch_parts()
        config = config.replace(batch_parts=choose_batch_parts(config, kept))
        configure_runtime(config.training, config.training.parts)
        stack.enter_context(deterministic_operations(config.training.deterministic))
        workers = join_workers(config.strategy)
        stack.enter_context(workers.watched())
        _check_same_flags(config, workers)
        if not workers.is_chief:
            stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        dataset = load_dataset(config.data)
        if workers.is_chief:
            stack.enter_context(folder.held())
        if is_finished(config, folder, dataset):
            print(
                f"{folder.path} is finished. Raise --epochs or --train_steps to train on, or use "
                "--overwrite to start again."
            )
        else:
            progress, step = _train(
                config, given, folder, dataset, workers, watchers, shows_progress
            )
            if workers.is_chief:
                model = finish_run(config, folder, dataset, progress, step)
        if workers.count > 1:
            waiting = "the state is saved; the chief was still measuring and exporting"
            with interrupts.exit_at_signal(waiting):
                workers.share(0.0)
    return model


def _check_same_flags(config: Config, workers: Workers) -> None:
    workers.check_same(
        digest(config.worker_settings()),
        "the checksum of their flags",
        f"start all of them with the same flags; only {', '.join(PER_WORKER)} may differ",
    )


def _train(
    config: Config,
    given: Config,
    folder: RunFolder,
    dataset: Dataset,
    workers: Workers,
    watchers: Sequence[Observer],
    shows_progress: bool,
) -> tuple[Progress, int]:
    """Trains to the end by `config`, and keeps the settings as given.

    Returns:
        The run's course and its last step.
    """
    run = prepare_run(config, dataset, workers)
    progress = Progress(run.columns)
    with contextlib.ExitStack() as stack:
        # All workers save, as tf.distribute requires; what the others write is not kept.
        scratch = tempfile.TemporaryDirectory(prefix="vae_lowlevel-worker-")
        written = folder if workers.is_chief else RunFolder(stack.enter_context(scratch))
        checkpoints = RunCheckpoints(
            written.checkpoints, written.best, run.state, progress, config.training.max_to_keep
        )
        is_resumed = restore_or_initialize(config, folder, dataset, workers, run, checkpoints)
        validation = build_validation(config, run, dataset)
        if validation is not None:
            progress.choose_by(config.best_criterion, validation.score)
        written.begin(given, dataset, config.training.parts)
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
            checkpoints,
            workers,
            [
                *build_observers(
                    config, written, dataset, run, workers, shows_progress=shows_progress
                ),
                *watchers,
            ]
            if workers.is_chief
            else [],
        )
        print(_describe(config, dataset, workers, run))
        if is_resumed:
            print(f"Resuming at step {int(run.state.step.numpy())}")
        with interrupts.noted_signals() as is_asked_to_stop:
            is_stopped = loop.run(is_asked_to_stop)
    step = int(run.state.step.numpy())
    if is_stopped:
        raise Interrupted(
            f"{interrupts.received() or 'another worker stopped'}: saved at step {step} of "
            f"{run.total_steps}. Resume with: {folder.resume_command}"
        )
    progress.check_trained()
    return progress, step


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
    if config.training.parts > 1:
        devices += f" in {config.training.parts} parts"
    if workers.count > 1:
        devices += f" of {workers.count} workers"
    lines.append(
        f"{len(dataset.train)} training, {len(dataset.validation)} validation, "
        f"{len(dataset.test)} test images; {run.total_steps} steps, "
        f"{run.feed.steps_per_epoch} per epoch; {devices}, "
        f"XLA: {'replica' if run.device == 'TPU' else run.compilation}, "
        f"{run.feed.call_steps} steps per call, {config.model.precision}"
    )
    return "\n".join(lines)
