"""Loads trained models from run folders and exports; no data set is needed.

TensorFlow is imported when something is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import TYPE_CHECKING

from vae_lowlevel import files
from vae_lowlevel.config.flags import read_run
from vae_lowlevel.errors import RunError
from vae_lowlevel.serving.publish import newest_export

if TYPE_CHECKING:
    from vae_lowlevel.models.vae import VariationalAutoencoder
    from vae_lowlevel.serving.predictor import Predictor


def load(path: str) -> Predictor:
    """Loads a trained model from a run folder or an export.

    Args:
        path: a run folder, an export's version folder, or the folder of its versions, of which the
            newest is taken.

    Raises:
        RunError: there is neither, or it cannot be read.
    """
    if files.is_file(os.path.join(path, "flags.cfg")):
        return _load_run(path)
    export = newest_export(path)
    if export is None:
        found = "no such folder" if not os.path.isdir(path) else "found neither"
        raise RunError(
            f"{path}: expected a run folder (with flags.cfg), or an export (with saved_model.pb, "
            f"or with a subfolder 1, 2, ... that has it); {found}"
        )
    return _load_export(export)


def load_model(model_dir: str, precision: str = "float32") -> VariationalAutoencoder:
    """Loads the model of a run with its best weights; needs no data set.

    Args:
        model_dir: the run folder.
        precision: of the hidden layers, whatever it was in training.

    Raises:
        RunError: the folder is no run folder, has no weights yet or cannot be read.
    """
    return load_model_and_weights(model_dir, precision)[0]


def load_model_and_weights(
    model_dir: str, precision: str = "float32"
) -> tuple[VariationalAutoencoder, str]:
    """Returns what `load_model` returns, and the path of the checkpoint of its weights."""
    config = read_run(model_dir)
    image_shape, num_classes = read_data_description(model_dir)

    from vae_lowlevel import assembly
    from vae_lowlevel.training.checkpoint import restore_best

    model_config = dataclasses.replace(config.model, precision=precision)
    model = assembly.build_model(model_config, image_shape, config.training.seed, num_classes)
    return model, restore_best(model_dir, model)


def find_weights(path: str) -> str:
    """Returns the checkpoint of the best weights of a run, or of an export.

    Raises:
        RunError: there is neither.
    """
    if files.is_file(os.path.join(path, "flags.cfg")):
        from vae_lowlevel.training.checkpoint import find_best

        return find_best(path)
    export = newest_export(path)
    if export is None:
        raise RunError(f"{path}: expected a run folder or an export; found neither")
    return os.path.join(export, "variables", "variables")


def read_data_description(model_dir: str) -> tuple[tuple[int, int, int], int]:
    """Returns (H, W, C) and the number of classes of the data a run was trained on.

    Raises:
        RunError: the run folder does not say.
    """
    path = os.path.join(model_dir, "data.json")
    try:
        description = json.loads(files.read(path))
        height, width, channels = description["image_shape"]
        num_classes = len(description["class_names"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{path}: expected a run's image_shape [H, W, C] and class_names, found {error!r}; "
            "training writes it"
        ) from error
    return (height, width, channels), num_classes


def _load_run(model_dir: str) -> Predictor:
    model = load_model(model_dir)

    from vae_lowlevel.serving.predictor import Predictor
    from vae_lowlevel.serving.signatures import ServingModel

    return Predictor(ServingModel(model), model.image_shape, model.latent_dim)


def _load_export(folder: str) -> Predictor:
    import tensorflow as tf

    from vae_lowlevel.serving.predictor import Predictor

    try:
        loaded = tf.saved_model.load(folder)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise RunError(f"{folder}: not a readable export: {error}") from error
    encode = loaded.signatures.get("encode")
    is_sparse = encode is not None and "code" in encode.structured_outputs
    wanted = {"encode", "decode", "reconstruct"} | (set() if is_sparse else {"sample"})
    missing = wanted.difference(loaded.signatures)
    if missing:
        raise RunError(
            f"{folder}: a SavedModel of another kind: it lacks the signatures "
            f"{', '.join(sorted(missing))}"
        )
    _, inputs = encode.structured_input_signature
    _, latents = loaded.signatures["decode"].structured_input_signature
    image_shape, latent_dim = tuple(inputs["image"].shape[1:]), latents["z"].shape[-1]
    return Predictor(loaded, image_shape, latent_dim)
