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
from vae_lowlevel.experiment.loading import load_predictor
from vae_lowlevel.plots.grids import comparison_grid, image_grid
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.plots.traversals import traversal_points
from vae_lowlevel.serving.array_checks import Labels, unit_images
from vae_lowlevel.serving.latent_paths import class_means, interpolate_latents
from vae_lowlevel.serving.predictor import NO_SAMPLES, Predictor

PAIRS_PER_ROW = 10
# Test images whose z is computed for the mean of a class and for the variance of a dimension.
MOST_ENCODED = 2000


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
    model = load_predictor(options.model_dir)
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
    command = options.command
    draws = command == "sample" or (command == "interpolate" and options.between == "samples")
    if draws and not model.can_sample:
        raise ConfigError(f"{command}: {NO_SAMPLES}")
    if options.label is not None and not model.is_conditional:
        raise ConfigError(f"--label={options.label}: the model is not conditional, leave it out")
    if model.is_conditional and (draws or options.input) and options.label is None:
        raise ConfigError("--label is needed: the model is conditional (-1 for an unknown class)")
    if options.label is not None:
        try:
            model.decode(np.zeros([1, model.latent_dim], np.float32), options.label)
        except ValueError as error:
            raise ConfigError(f"--label={options.label}: {error}") from None


def _encode(model: Predictor, options: InferenceOptions) -> Result:
    read = _read_input(model, options)
    arrays = model.encode(read.images, read.condition).to_dict()
    return Result(arrays if read.label is None else {**arrays, "label": read.label})


def _reconstruct(model: Predictor, options: InferenceOptions) -> Result:
    read = _read_input(model, options)
    results = model.reconstruct(read.images, read.condition)
    columns = min(len(read.images), PAIRS_PER_ROW)
    return Result(
        {"image": results},
        comparison_grid(read.images, results.reshape(read.images.shape), columns),
    )


def _sample(model: Predictor, options: InferenceOptions) -> Result:
    images = model.sample(
        options.count, options.seed, options.label, temperature=options.temperature
    )
    return _grid(model, images, columns=math.ceil(math.sqrt(len(images))))


def _interpolate(model: Predictor, options: InferenceOptions) -> Result:
    if options.between == "samples":
        label = options.label
        ends = model.sample_latents(options.count, options.seed, label)
    else:
        read = _read_input(model, options)
        ends, label = model.encode(read.images, read.condition).embedding, read.condition
        if options.between == "classes":
            ends, label = _mean_of_each_class(ends, read, model)
    if len(ends) < 2:
        raise DataError(
            f"interpolate needs pairs: expected 2 or more {options.between}, found {len(ends)}"
        )
    label = label[:-1] if np.ndim(label) else label  # A pair has the class of its first image.
    z = interpolate_latents(ends[:-1], ends[1:], options.steps, options.path)
    return _grid(model, model.decode_paths(z, label), columns=options.steps)


def _traverse(model: Predictor, options: InferenceOptions) -> Result:
    """Decodes z of the first image with one dimension after another from -span to span.

    The dimensions come in the order in which they vary over the images, the largest first.
    """
    read = _read_input(model, options)
    z = model.encode(read.images, read.condition).embedding
    order = np.argsort(-z.var(0), kind="stable")
    values = np.linspace(-options.span, options.span, options.steps)
    rows = traversal_points(z[0], order, values, np.zeros_like(z[0]), np.ones_like(z[0]))
    label = read.condition[0] if np.ndim(read.condition) else read.condition
    result = _grid(model, model.decode_paths(rows, label), columns=options.steps)
    return result._replace(arrays={**result.arrays, "dimension": order})


def _grid(model: Predictor, images: np.ndarray, columns: int) -> Result:
    flat = images.reshape(-1, *model.image_shape)
    return Result({"image": images}, image_grid(flat, columns=columns))


_COMMANDS: dict[str, Callable[[Predictor, InferenceOptions], Result]] = {
    "encode": _encode,
    "reconstruct": _reconstruct,
    "sample": _sample,
    "interpolate": _interpolate,
    "traverse": _traverse,
}


class _Input(NamedTuple):
    """What a command works on.

    Attributes:
        images: float32 [N, H, W, C] in [0, 1].
        condition: labels that the model is given; None for a model that takes none.
        label: int [N], the known classes of the images; None where they are not known.
    """

    images: np.ndarray
    condition: Labels
    label: np.ndarray | None = None


def _read_input(model: Predictor, options: InferenceOptions) -> _Input:
    if options.input:
        try:
            images = unit_images(read_images(options.input), model.image_shape)
        except ValueError as error:
            raise DataError(f"--input={options.input}: {error}") from None
        if not len(images):
            raise DataError(f"--input={options.input}: expected at least one image, found none")
        return _Input(images, options.label)
    folder = RunFolder(options.model_dir)
    if not folder.is_run():
        raise ConfigError(
            f"--input is needed: {options.model_dir} is an export, which has no test images"
        )
    dataset = load_dataset(folder.read_config().data)
    # A mean, and what varies, need more images than a picture shows.
    needs_all = options.command == "traverse" or options.between == "classes"
    examples = dataset.test[: MOST_ENCODED if needs_all else options.count]
    images = unit_images(examples.image, model.image_shape)
    uses_own_labels = model.is_conditional and options.label is None
    condition = examples.label if uses_own_labels else options.label
    return _Input(images, condition, examples.label)


def _mean_of_each_class(
    z: np.ndarray, read: _Input, model: Predictor
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the mean z of each class that has images, and these classes for the model."""
    if len(np.unique(read.label[read.label >= 0])) < 2:
        raise ConfigError("interpolate --between=classes needs test images of two or more classes")
    classes, means = class_means(z, read.label)
    return means, np.int32(classes) if model.is_conditional else None
