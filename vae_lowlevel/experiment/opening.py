"""Opens a run folder for training: whether it is new, empty or of the same run.

TensorFlow is not needed on a disk of this machine, so that a wrong folder is refused at once.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import check_weights
from vae_lowlevel.training.cluster import find_cluster


def open_run_folder(config: Config) -> tuple[RunFolder, list[str]]:
    """Checks that the run folder of `config` is new, empty or of the same run; changes nothing.

    Args:
        config: of the command.

    Returns:
        The folder, and what the user should know before the run resumes in it.

    Raises:
        ConfigError: the folder is of another run, or is no run folder; or the variables of a
            cluster are missing or damaged.
        RunError: its settings cannot be read, or `init_from` is neither a run nor an export.
    """
    config.check_run_folder()
    if config.strategy.distribution_strategy == "multi_worker_mirrored":
        find_cluster(config.strategy, os.environ)
    folder = RunFolder(config.model_dir)
    files.check_reachable(folder.path, "model_dir")
    _check_place(folder.path)
    if config.training.init_from and (config.run.overwrite or not folder.is_run()):
        try:
            check_weights(config.training.init_from)
        except RunError as error:
            raise RunError(f"--init_from: {error}") from None
    if not files.is_folder(folder.path):
        return folder, []
    if folder.is_run():
        # Both are written again later: a disk that fails is noticed before the work.
        for path in (folder.data_description, folder.metrics):
            if files.is_folder(path):
                raise RunError(f"{path} is a folder, expected a file: move it away")
            if files.is_file(path):
                files.check_readable(path)
        if config.run.overwrite:
            return folder, []
        saved = folder.read_config()
        parts = saved.training.batch_parts or folder.read_batch_parts()
        return folder, check_same_run(saved.replace(batch_parts=parts), config)
    # What a killed process, or a `VAE.fit` that failed, wrote before the settings.
    first = (folder.lock, f"{folder.flagfile}{files.PARTIAL}", folder.kept_images)
    first = tuple(os.path.basename(path) for path in first)
    if not all(name.startswith(first) for name in files.list_folder(folder.path)):
        raise ConfigError(
            f"--model_dir={folder.path} holds files but is not a run folder (no flags.cfg): choose "
            "another, or empty it by hand"
        )
    return folder, []


def _check_place(path: str) -> None:
    """Checks that a folder can be created, or written to, at a path of a local disk."""
    if files.is_remote(path):
        return
    if os.path.lexists(path) and not os.path.isdir(path):
        found = "a link to nothing" if os.path.islink(path) else "a file"
        raise ConfigError(f"--model_dir={path} is {found}: choose another")
    existing = os.path.abspath(path)
    while not os.path.lexists(existing):
        existing = os.path.dirname(existing)
    if not os.path.isdir(existing):
        raise ConfigError(f"--model_dir={path}: {existing} is no folder; choose another")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise ConfigError(
            f"--model_dir={path}: {existing} is not writable; change its permissions, or choose "
            "another"
        )


def check_same_run(saved: Config, given: Config) -> list[str]:
    """Compares the settings a run folder was made with to those given now.

    Args:
        saved: of the run folder.
        given: of the command.

    Returns:
        What the user should know: settings that end bitwise equality, schedules that stretch.

    Raises:
        ConfigError: the settings describe another model or other data; lists each difference.
    """
    changes: dict[str, list[str]] = {"identity": [], "total": [], "numerics": [], "free": []}
    # The run keeps what was chosen when it began.
    if not given.training.batch_parts:
        given = given.replace(batch_parts=saved.training.batch_parts)
    if given.model.precision == "auto":
        given = given.replace(precision=saved.model.precision)
    before, now = saved.resolved_flat(), given.resolved_flat()
    for group in Config.groups().values():
        for field in dataclasses.fields(group):
            name = field.name
            if name in before and before[name] != now[name]:
                change = f"--{name}: was {_shown(before[name])}, now {_shown(now[name])}"
                changes[field.metadata["resume"]].append(change)
    if changes["identity"]:
        raise ConfigError(
            f"{given.model_dir} holds a run with other settings:\n  "
            + "\n  ".join(changes["identity"])
            + "\nUse its settings, another --model_dir, or --overwrite to delete it and restart"
        )
    notes = []
    if changes["numerics"]:
        notes.append(
            "Resuming with other numerics, so the result is not bit for bit that of an unbroken "
            "run: " + "; ".join(changes["numerics"])
        )
    if changes["total"]:
        notes.append("The length of the run changed: " + "; ".join(changes["total"]))
        if given.optimizer.learning_rate_schedule == "cosine":
            notes.append(
                "--learning_rate_schedule=cosine depends on the length: the learning rate now "
                "follows the new, longer curve"
            )
    return notes


def _shown(value: Any) -> str:
    return "not set" if value is None else str(value)
