"""The run folder: made, recognised, and refused when it belongs to another run."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError

if TYPE_CHECKING:
    from vae_lowlevel.types import Dataset


class RunFolder:
    """The files of a run that are not TensorFlow's.

    Attributes:
        path: the folder.
        flagfile: the resolved settings, ready to be run again.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.flagfile = os.path.join(path, "flags.cfg")
        self._metrics = os.path.join(path, "metrics.json")

    def describe(self, flags: str, dataset: Dataset) -> None:
        """Writes the settings, and what one must know of the data to build the model again."""
        files.make_folder(self.path)
        description = {
            "image_shape": dataset.image_shape,
            "class_names": dataset.class_names,
            "factor_names": dataset.factor_names,
        }
        _write_json(os.path.join(self.path, "data.json"), description)
        files.write(self.flagfile, flags.encode())

    def is_finished(self, step: int) -> bool:
        """Returns whether the run was measured and exported at this step."""
        return self._read_metrics().get("step") == step

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes `metrics.json`, which marks the run as finished."""
        _write_json(self._metrics, metrics)

    def update_metrics(self, changes: dict[str, Any]) -> None:
        """Changes entries of `metrics.json`; a run that is not finished has none to change."""
        metrics = self._read_metrics()
        if metrics:
            self.write_metrics({**metrics, **changes})

    def _read_metrics(self) -> dict[str, Any]:
        return json.loads(files.read(self._metrics)) if files.is_file(self._metrics) else {}


def open_run_folder(
    config: Config, read_run: Callable[[str], Config]
) -> tuple[RunFolder, list[str]]:
    """Checks that the run folder of `config` is new, empty or of the same run.

    Args:
        config: of the command.
        read_run: reads the settings a run folder was made with.

    Returns:
        the folder, and what the user should know about going on in it.

    Raises:
        ConfigError: the folder is of another run, or is no run folder; nothing is changed.
    """
    folder = RunFolder(config.run.model_dir)
    files.check_reachable(folder.path, "model_dir")
    if files.is_file(folder.path):
        raise ConfigError(f"--model_dir={folder.path} is a file: choose another")
    if not files.is_folder(folder.path):
        return folder, []
    if files.is_file(folder.flagfile):
        if config.run.overwrite:
            files.delete_folder(folder.path)
            return folder, []
        return folder, check_same_run(read_run(folder.path), config)
    if files.list_folder(folder.path):
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
    for name, group in Config.groups().items():
        for field in dataclasses.fields(group):
            before = getattr(getattr(saved, name), field.name)
            now = getattr(getattr(given, name), field.name)
            if before != now:
                change = f"--{field.name}: was {before}, now {now}"
                changes[field.metadata["resume"]].append(change)
    if changes["identity"]:
        raise ConfigError(
            f"{given.run.model_dir} holds a run with other settings:\n  "
            + "\n  ".join(changes["identity"])
            + "\nGive its settings, another --model_dir, or --overwrite to delete it and start anew"
        )
    notes = []
    if changes["numerics"]:
        notes.append(
            "Going on with other numerics, so not bit for bit what an unbroken run gives: "
            + "; ".join(changes["numerics"])
        )
    if changes["total"]:
        notes.append("The length of the run changed: " + "; ".join(changes["total"]))
        if given.optimizer.learning_rate_schedule == "cosine":
            notes.append(
                "--learning_rate_schedule=cosine depends on the length: the learning rate now "
                "follows the new, longer curve"
            )
    return notes


def _write_json(path: str, content: Any) -> None:
    """Writes indented JSON; numbers that are not finite are refused, as JSON has none."""
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    files.write(path, text.encode())
