"""Where a run folder stands: finished, to be resumed from a sound checkpoint, or new."""

from __future__ import annotations

from vae_lowlevel.config import Config
from vae_lowlevel.data.batching import count_steps
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.start import PreparedRun, count_total_steps, initialize_weights
from vae_lowlevel.training.checkpoint import RunCheckpoints
from vae_lowlevel.training.checkpoint_files import CheckpointFiles
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset


def is_finished(config: Config, folder: RunFolder, dataset: Dataset) -> bool:
    """Returns whether the run was trained to the length asked for, measured and exported."""
    if config.run.overwrite:
        return False
    try:
        metrics = folder.read_metrics()
    except RunError as error:
        print(f"{error}\nNow it is measured again.")
        return False
    full, best = CheckpointFiles(folder.checkpoints), CheckpointFiles(folder.best)
    if not metrics or full.steps()[-1:] != [metrics["step"]] or best.newest_sound()[0] is None:
        return False
    steps_per_epoch = count_steps(len(dataset.train), config.training.batch_size)
    patience = config.training.early_stopping_patience
    epochs_since_best = metrics["history"][-1]["epoch"] - metrics["best_epoch"]
    is_out_of_patience = patience is not None and epochs_since_best >= patience
    total_steps = count_total_steps(config.training, steps_per_epoch)
    return is_out_of_patience or metrics["step"] >= total_steps


def restore_or_initialize(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    workers: Workers,
    run: PreparedRun,
    checkpoints: RunCheckpoints,
) -> bool:
    """Restores the newest sound state of the folder, or sets the first weights.

    The workers compare the folder's state first: all of them restore it, or none.

    Returns:
        Whether a state was restored.

    Raises:
        RunError: there are checkpoints, but all of them are damaged.
    """
    full = CheckpointFiles(folder.checkpoints)
    with workers.strategy.scope():
        step, damage = (None, {}) if config.run.overwrite else full.newest_sound()
        shared = -1 if step is None else step
        workers.check_same(shared, "step", "--model_dir must be a folder that all workers see")
        if step is None and damage:
            found = "\n  ".join(damage.values())
            raise RunError(
                f"{folder.checkpoints}: every checkpoint is damaged, nothing was changed:\n  "
                f"{found}\nPut back a copy of this folder, or start again with --overwrite"
            )
        if step is None:
            initialize_weights(config, run.state, dataset)
        else:
            checkpoints.restore(full.prefix(step))
        if workers.is_chief and not config.run.overwrite:
            best_source = None if step is None else _find_best_source(folder, checkpoints, step)
            for damaged, found in damage.items():
                print(f"Checkpoint {full.prefix(damaged)} is damaged and was set aside: {found}")
                full.set_aside(damaged)
            if best_source is not None:
                _make_best_again(folder, checkpoints, best_source, step)
            full.tidy(config.training.max_to_keep)
            CheckpointFiles(folder.best).tidy(max_to_keep=1)
    return step is not None


def _find_best_source(folder: RunFolder, checkpoints: RunCheckpoints, step: int) -> int | None:
    """Returns the step whose state the best weights are made from again; None if they are sound.

    Args:
        folder: of the run.
        checkpoints: with the state of `step` restored.
        step: at which the run resumes.

    Raises:
        RunError: they are damaged, and no state of their epoch is kept.
    """
    best, full = CheckpointFiles(folder.best), CheckpointFiles(folder.checkpoints)
    sound, damage = best.newest_sound()
    best_step = checkpoints.progress.best_step
    if sound is not None or best_step is None:
        return None
    if best_step in full.steps() and full.damage(best_step) is None:
        return best_step
    if damage:
        raise RunError(
            f"{folder.best}: the best weights are damaged, and the checkpoint of their step, "
            f"{best_step}, is no longer kept: {' '.join(damage.values())}\nPut back a copy of this "
            f"folder, or delete it: then those of step {step} take the place of the best"
        )
    return step


def _make_best_again(
    folder: RunFolder, checkpoints: RunCheckpoints, source: int, step: int
) -> None:
    """Saves the weights of step `source` as the best, and restores the state of `step`."""
    best, full = CheckpointFiles(folder.best), CheckpointFiles(folder.checkpoints)
    for damaged in best.steps():
        best.set_aside(damaged)
    checkpoints.restore(full.prefix(source))
    checkpoints.save_best()
    checkpoints.restore(full.prefix(step))
    print(f"The best weights could not be read. They were made again from step {source}.")
