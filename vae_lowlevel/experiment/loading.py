"""Loads trained models from run folders and exports; no data set is needed.

TensorFlow is imported when something is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, NamedTuple

from vae_lowlevel import files
from vae_lowlevel.errors import RunError, first_line
from vae_lowlevel.experiment.folder import RunFolder

if TYPE_CHECKING:
    from vae_lowlevel.serving.predictor import Predictor
    from vae_lowlevel.types import Model


class BestModel(NamedTuple):
    """A model with the best weights of a run.

    Attributes:
        model: built outside any strategy's scope.
        checkpoint: the name of its weights.
        precision: of its hidden layers.
    """

    model: Model
    checkpoint: str
    precision: str


def load_predictor(path: str) -> Predictor:
    """Loads a trained model, to be used on NumPy arrays.

    Args:
        path: a run folder, an export's version folder, or the folder of its versions, of which the
            newest is loaded; or the address of one, such as gs://bucket/runs/mine.

    Returns:
        An object that encodes, decodes, reconstructs, scores, samples and interpolates.

    Raises:
        RunError: there is neither, or it cannot be read.
    """
    folder = RunFolder(path)
    if folder.is_run():
        model = load_best(folder).model

        from vae_lowlevel.serving.predictor import Predictor
        from vae_lowlevel.serving.signatures import ServingModel

        return Predictor.from_model(ServingModel(model))
    return _load_export(_find_export(path))


def load_best(folder: RunFolder, precision: str = "float32") -> BestModel:
    """Loads the model of a run with its best weights.

    Args:
        folder: of the run.
        precision: of the hidden layers, whatever it was in training.

    Raises:
        RunError: the folder is no run folder, has no weights yet or cannot be read.
    """
    config = folder.read_config()
    data = folder.read_data_description()

    from vae_lowlevel import assembly
    from vae_lowlevel.training.checkpoint import restore_best

    model = assembly.build_model(
        dataclasses.replace(config.model, precision=precision),
        data.image_shape,
        config.training.seed,
        len(data.class_names),
    )
    checkpoint = _find_best(folder)
    restore_best(checkpoint, model)
    return BestModel(model, os.path.basename(checkpoint), precision)


def load_model(model_dir: str, precision: str = "float32") -> Model:
    """Returns the model of the run in a folder; see `load_best`."""
    return load_best(RunFolder(model_dir), precision).model


def find_weights(path: str) -> str:
    """Returns the checkpoint of the best weights of a run, or of an export.

    Raises:
        RunError: there is neither.
    """
    folder = RunFolder(path)
    if folder.is_run():
        return _find_best(folder)
    return os.path.join(_find_export(path), "variables", "variables")


def check_weights(path: str) -> None:
    """Checks that a path is that of a run or an export; a local one needs no TensorFlow.

    Raises:
        RunError: it is neither.
    """
    if not RunFolder(path).is_run():
        _find_export(path)


def _find_best(folder: RunFolder) -> str:
    from vae_lowlevel.training.checkpoint_files import CheckpointFiles

    best = CheckpointFiles(folder.best)
    step, damage = best.newest_sound()
    if step is not None:
        return best.prefix(step)
    if damage:
        found = "\n  ".join(damage.values())
        raise RunError(
            f"{folder.best}: the best weights are damaged:\n  {found}\nTraining makes them "
            f"again from its checkpoints, where they are kept: {folder.resume_command}"
        )
    raise RunError(
        f"no weights in {folder.best}: the run has not finished an epoch yet. Train it first: "
        f"{folder.resume_command}"
    )


def _find_export(path: str) -> str:
    from vae_lowlevel.serving.publish import newest_export

    export = newest_export(path)
    if export is None:
        found = "found neither" if files.is_folder(path) else "no such folder"
        raise RunError(
            f"{path}: expected a run folder (with flags.cfg), or an export (with saved_model.pb, "
            f"or with a subfolder 1, 2, ... that has it); {found}"
        )
    return export


def _load_export(folder: str) -> Predictor:
    import tensorflow as tf

    from vae_lowlevel.serving.predictor import Predictor
    from vae_lowlevel.serving.publish import check_graph

    check_graph(folder)
    try:
        loaded = tf.saved_model.load(folder)
    except Exception as error:
        # Whatever TensorFlow stumbles over in a damaged graph: KeyError, AttributeError, ...
        raise RunError(f"{folder}: not a readable export: {first_line(error)}") from error
    try:
        return Predictor.from_saved_model(loaded)
    except ValueError as error:
        raise RunError(f"{folder}: a SavedModel of another kind: {error}") from error
