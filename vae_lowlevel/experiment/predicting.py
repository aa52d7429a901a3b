"""Applies a trained model to a file of images, or samples from it, and writes the results."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from vae_lowlevel import files
from vae_lowlevel.config.inference import InferenceOptions
from vae_lowlevel.data.images import read_images
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load
from vae_lowlevel.plots.grids import comparison_grid, image_grid
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.serving.array_checks import Labels, unit_images
from vae_lowlevel.serving.predictor import NO_SAMPLES, Predictor

PAIRS_PER_ROW = 10


class Result(NamedTuple):
    """What a command returns.

    Attributes:
        arrays: by the names of the signatures' outputs.
        grid: the images in one picture, uint8 [.., .., C]; None where there are no images.
    """

    arrays: dict[str, np.ndarray]
    grid: np.ndarray | None = None


def predict(options: InferenceOptions) -> None:
    """Runs one command and writes its output file.

    Raises:
        ConfigError: the options do not fit the model.
        DataError: the images cannot be read or do not fit the model.
        RunError: there is no model, or it cannot be read.
    """
    model = load(options.model_dir)
    _check_model(options, model)
    result = _COMMANDS[options.command](model, options)
    if options.output.endswith(".npz"):
        content = io.BytesIO()
        np.savez(content, **result.arrays)
        files.write(options.output, content.getvalue())
    else:
        files.write(options.output, encode_png(result.grid))


def _check_model(options: InferenceOptions, model: Predictor) -> None:
    """Refuses a command that the model does not support, and a label that does not fit."""
    if options.command == "sample" and not model.can_sample:
        raise ConfigError(f"sample: {NO_SAMPLES}")
    if options.label is not None and not model.is_conditional:
        raise ConfigError(f"--label={options.label}: the model is not conditional, leave it out")
    needs_label = options.command == "sample" or options.input
    if model.is_conditional and needs_label and options.label is None:
        raise ConfigError("--label is needed: the model is conditional (-1 for an unknown class)")
    if options.label is not None:
        try:
            model.decode(np.zeros([1, model.latent_dim], np.float32), options.label)
        except ValueError as error:
            raise ConfigError(f"--label={options.label}: {error}") from None


def _encode(model: Predictor, options: InferenceOptions) -> Result:
    images, label = _read_input(model, options)
    return Result(model.encode(images, label).to_dict())


def _reconstruct(model: Predictor, options: InferenceOptions) -> Result:
    images, label = _read_input(model, options)
    results = model.reconstruct(images, label)
    columns = min(len(images), PAIRS_PER_ROW)
    return Result({"image": results}, comparison_grid(images, results, columns))


def _sample(model: Predictor, options: InferenceOptions) -> Result:
    images = model.sample(options.count, options.seed, options.label)
    return Result({"image": images}, image_grid(images, columns=math.ceil(math.sqrt(len(images)))))


def _interpolate(model: Predictor, options: InferenceOptions) -> Result:
    images, label = _read_input(model, options)
    if len(images) < 2:
        raise DataError(
            "interpolate needs pairs of neighbouring images: expected 2 or more images, got 1"
        )
    label = label[:-1] if np.ndim(label) else label  # A pair has the class of its first image.
    lines = model.interpolate(images[:-1], images[1:], options.steps, label)
    images = lines.reshape(-1, *model.image_shape)
    return Result({"image": lines}, image_grid(images, columns=options.steps))


_COMMANDS: dict[str, Callable[[Predictor, InferenceOptions], Result]] = {
    "encode": _encode,
    "reconstruct": _reconstruct,
    "sample": _sample,
    "interpolate": _interpolate,
}


def _read_input(model: Predictor, options: InferenceOptions) -> tuple[np.ndarray, Labels]:
    """Returns images, float32 [N, H, W, C] in [0, 1], and labels if the model takes them."""
    if options.input:
        try:
            images = unit_images(read_images(options.input), model.image_shape)
        except ValueError as error:
            raise DataError(f"--input={options.input}: {error}") from None
        if not len(images):
            raise DataError(f"--input={options.input}: expected at least one image, found none")
        return images, options.label
    folder = RunFolder(options.model_dir)
    if not folder.is_run():
        raise ConfigError(
            f"--input is needed: {options.model_dir} is an export, which has no test images"
        )
    examples = load_dataset(folder.read_config().data).test[: options.count]
    images = unit_images(examples.image, model.image_shape)
    uses_own_labels = model.is_conditional and options.label is None
    return images, examples.label if uses_own_labels else options.label
