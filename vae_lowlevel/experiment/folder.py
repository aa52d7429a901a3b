"""The run folder: the paths of everything a run keeps, read and written.

TensorFlow is not needed on a disk of this machine, so that a wrong folder is refused at once.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import quote
from vae_lowlevel.config.flags import format_flagfile, read_flagfile
from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.lock import locked

if TYPE_CHECKING:
    from vae_lowlevel.types import Dataset


# More pixels per image than any data set has: a larger number is damage.
_MOST_PIXELS = 1 << 26


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
        data_description: image shape, class names and the number of parts of a batch.
        checkpoints: folder of the full states.
        best: folder of the best weights.
        summaries: folder of the TensorBoard summaries.
        figures: folder of the figures.
        metrics: history, test metrics, versions; it marks the run as finished.
        publication: the name of the version that the run exports, written before the version.
        report: page with the results.
        explorer: page that decodes in the browser.
        kept_images: the images that `VAE.fit` trains on.
        lock: held while the run is trained.
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
        self.publication = os.path.join(path, "publication.json")
        self.report = os.path.join(path, "report.html")
        self.explorer = os.path.join(path, "latent_explorer.html")
        self.kept_images = os.path.join(path, "data.npz")
        self.lock = os.path.join(path, "run.lock")
        self.resume_command = f"python -m vae_lowlevel.train --flagfile={self.flagfile}"

    def figure(self, name: str, ending: str = "png") -> str:
        """Returns the path of a figure, by its name and the ending of its format."""
        return os.path.join(self.figures, f"{name}.{ending}")

    def anomaly_scores(self, precision: str, kind: str = "") -> str:
        """Returns the path of the scores of normal images.

        Args:
            precision: of the hidden layers.
            kind: name of the score; empty for the default one of the model.
        """
        precision = "" if precision == "float32" else precision
        suffix = "".join(f"_{part}" for part in (kind, precision) if part)
        return os.path.join(self.path, f"anomaly_scores{suffix}.npz")

    def is_run(self) -> bool:
        """Returns whether the folder is that of a run."""
        return files.is_file(self.flagfile)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other trainings out of the folder; creates it where it is missing.

        Raises:
            RunError: another process trains in it.
        """
        is_new = not files.is_folder(self.path)
        files.make_folder(self.path)
        try:
            with locked(self.lock):
                yield
        finally:
            if is_new and not files.is_remote(self.path):
                # Succeeds where training failed before it wrote anything.
                with contextlib.suppress(OSError):
                    os.rmdir(self.path)

    def begin(self, config: Config, dataset: Dataset, batch_parts: int | None = None) -> None:
        """Writes the settings and the description of the data; first deletes a run to overwrite.

        The settings are written first and deleted last, so that the folder of a killed process is
        that of a run, or has nothing but the first file's beginning.

        Args:
            config: as given.
            dataset: of the run.
            batch_parts: the number of parts with which the run trains, None where it does not
                train.
        """
        if config.run.overwrite and self.is_run():
            for name in files.list_folder(self.path):
                path = os.path.join(self.path, name)
                if path not in (self.flagfile, self.lock):
                    files.delete(path)
        files.make_folder(self.path)
        description = {
            "image_shape": dataset.image_shape,
            "class_names": dataset.class_names,
            "factor_names": dataset.factor_names,
        }
        if batch_parts is not None:
            description["batch_parts"] = batch_parts
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
                f"{self.flagfile} does not fit this version of the package: {error}"
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
            height, width, channels = shape = description["image_shape"]
            class_names = tuple(description["class_names"])
            if any(type(size) is not int or size < 1 for size in shape):
                raise ValueError(f"image_shape {shape}")
            if math.prod(shape) > _MOST_PIXELS:
                raise ValueError(f"image_shape {shape}")
            if any(type(name) is not str for name in class_names):
                raise ValueError(f"class_names {class_names}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(
                f"{path}: expected a run's image_shape [H, W, C] and class_names, found "
                f"{quote(error)}. The same training writes it again: {self.resume_command}"
            ) from error
        return DataDescription((height, width, channels), class_names)

    def read_batch_parts(self) -> int:
        """Returns the number of parts with which the run began; 0 where it is not known."""
        # Written by an earlier version, or damaged: then the number is chosen again.
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            return int(json.loads(files.read(self.data_description))["batch_parts"])
        return 0

    def read_metrics(self) -> dict[str, Any]:
        """Returns the content of `metrics.json`; empty for a run that is not finished.

        Raises:
            RunError: the file is damaged.
        """
        if not files.is_file(self.metrics):
            return {}
        try:
            metrics = json.loads(files.read(self.metrics))
            _check_metrics(metrics)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            raise RunError(
                f"{self.metrics}: expected a run's metrics, found {quote(error)}. Delete the file "
                f"and measure again: {self.resume_command}"
            ) from error
        return metrics

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        """Writes `metrics.json`, which marks the run as finished."""
        _write_json(self.metrics, metrics)

    def name_publication(self, step: int) -> str:
        """Returns the name under which the run publishes its weights at a step.

        The name is random, and kept from before the version appears: a run that was killed between
        the version and `metrics.json` finds its version again.
        """
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            known = json.loads(files.read(self.publication))
            if known["step"] == step:
                return str(known["name"])
        name = uuid.uuid4().hex
        _write_json(self.publication, {"step": step, "name": name})
        return name

    def update_metrics(self, changes: dict[str, Any]) -> None:
        """Changes entries of `metrics.json`; a run that is not finished has none to change."""
        metrics = self.read_metrics()
        if metrics:
            self.write_metrics({**metrics, **changes})


def _check_metrics(metrics: Any) -> None:
    """Checks the entries of `metrics.json` that the package reads itself."""
    record = metrics["history"][-1]
    numbers = metrics["step"], metrics["best_epoch"], record["epoch"]
    if any(type(number) is not int for number in numbers) or type(metrics["test"]) is not dict:
        raise ValueError(f"step, best_epoch and the last epoch {numbers}, test {metrics['test']}")


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
