"""The run folder: the paths of everything a run keeps, and whether a folder is that of a run.

TensorFlow is not needed on a disk of this machine, so that a wrong folder is refused at once.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import format_flagfile, read_flagfile
from vae_lowlevel.errors import ConfigError, RunError

if TYPE_CHECKING:
    from vae_lowlevel.types import Dataset


class DataDescription(NamedTuple):
    """What one must know of the data to build the model again.

    Attributes:
        image_shape: (H, W, C).
        class_names: one name per class; empty where the data have no classes.
    """

    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]


class RunFolder:
    """A run on disk, or at an address such as gs://bucket/runs/mine.

    Attributes:
        path: the folder.
        flagfile: the settings, ready to be run again.
        data_description: image shape and class names.
        checkpoints: folder of the full states.
        best: folder of the best weights.
        summaries: folder of the TensorBoard summaries.
        figures: folder of the figures.
        metrics: history, test metrics, versions; it marks the run as finished.
        kept_images: the images that `VAE.fit` trains on.
        resume_command: what resumes the run.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.flagfile = os.path.join(path, "flags.cfg")
        self.data_description = os.path.join(path, "data.json")
        self.checkpoints = os.path.join(path, "ckpt")
        self.best = os.path.join(path, "best")
        self.summaries = os.path.join(path, "summaries")
        self.figures = os.path.join(path, "figures")
        self.metrics = os.path.join(path, "metrics.json")
        self.kept_images = os.path.join(path, "data.npz")
        self.resume_command = f"python -m vae_lowlevel.train --flagfile={self.flagfile}"

    def figure(self, name: str) -> str:
        """Returns the path of a figure, `name` without its ending."""
        return os.path.join(self.figures, f"{name}.png")

    def anomaly_scores(self, precision: str) -> str:
        """Returns the path of the scores of normal images, for hidden layers of this precision."""
        suffix = "" if precision == "float32" else f"_{precision}"
        return os.path.join(self.path, f"anomaly_scores{suffix}.npz")

    def is_run(self) -> bool:
        """Returns whether the folder is that of a run."""
        return files.is_file(self.flagfile)

    def begin(self, config: Config, dataset: Dataset) -> None:
        """Writes the settings and the description of the data; first deletes a run to overwrite."""
        if config.run.overwrite and self.is_run():
            files.delete_folder(self.path)
        files.make_folder(self.path)
        description = {
            "image_shape": dataset.image_shape,
            "class_names": dataset.class_names,
            "factor_names": dataset.factor_names,
        }
        files.write(self.flagfile, format_flagfile(config).encode())
        _write_json(self.data_description, description)

    def read_config(self) -> Config:
        """Returns the settings of the run, with this folder as its `model_dir`.

        Raises:
            RunError: the folder holds no readable `flags.cfg`.
        """
        if not self.is_run():
            raise RunError(f"{self.path} is not a run folder: it has no flags.cfg")
        try:
            config = read_flagfile(self.flagfile)
        except ConfigError as error:
            raise RunError(
                f"{self.flagfile} was written by another version of this package: {error}"
            ) from None
        return config.replace(model_dir=self.path)

    def read_data_description(self) -> DataDescription:
        """Returns the shape of the run's images and their classes.

        Raises:
            RunError: the folder does not say.
        """
        path = self.data_description
        try:
            description = json.loads(files.read(path))
            height, width, channels = description["image_shape"]
            class_names = tuple(description["class_names"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: expected a run's image_shape [H, W, C] and class_names, found {error!r}; "
                "training writes it"
            ) from error
        return DataDescription((height, width, channels), class_names)

    def read_metrics(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`; empty for a run that is not finished.

        Raises:
            RunError: the file is damaged.
        """
        if not files.is_file(self.metrics):
            return {}
        try:
            metrics = json.loads(files.read(self.metrics))
            if not isinstance(metrics, dict):
                raise ValueError(f"a {type(metrics).__name__}")
        except (OSError, ValueError) as error:
            raise RunError(
                f"{self.metrics}: expected a run's metrics, found {error!r}; delete the file and "
                f"measure again: {self.resume_command}"
            ) from error
        return metrics

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes `metrics.json`, which marks the run as finished."""
        _write_json(self.metrics, metrics)

    def update_metrics(self, changes: dict[str, Any]) -> None:
        """Changes entries of `metrics.json`; a run that is not finished has none to change."""
        metrics = self.read_metrics()
        if metrics:
            self.write_metrics({**metrics, **changes})


def open_run_folder(config: Config) -> tuple[RunFolder, list[str]]:
    """Checks that the run folder of `config` is new, empty or of the same run; changes nothing.

    Args:
        config: of the command.

    Returns:
        The folder, and what the user should know before the run resumes in it.

    Raises:
        ConfigError: the folder is of another run, or is no run folder.
        RunError: its settings cannot be read.
    """
    config.check_run_folder()
    folder = RunFolder(config.model_dir)
    files.check_reachable(folder.path, "model_dir")
    if files.is_file(folder.path):
        raise ConfigError(f"--model_dir={folder.path} is a file: choose another")
    if not files.is_folder(folder.path):
        return folder, []
    if folder.is_run():
        notes = [] if config.run.overwrite else check_same_run(folder.read_config(), config)
        return folder, notes
    # Images that `VAE.fit` wrote before training failed are no reason to refuse the folder.
    kept = os.path.basename(folder.kept_images)
    if not all(name.startswith(kept) for name in files.list_folder(folder.path)):
        raise ConfigError(
            f"--model_dir={folder.path} holds files but is not a run folder (no flags.cfg): choose "
            "another, or empty it by hand"
        )
    return folder, []


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


def _write_json(path: str, content: Any) -> None:
    """Writes indented JSON; a number that is not finite becomes null, as JSON does not have it."""
    text = json.dumps(_with_null(content), indent=1, allow_nan=False) + "\n"
    files.write(path, text.encode())


def _with_null(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _with_null(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_with_null(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
