"""Uses a trained model: encode, reconstruct, sample, interpolate.

python -m vae_lowlevel.inference COMMAND --model_dir=runs/fashion --output=FILE [--input=FILE]

encode        the posteriors of images: z_mean and z_log_var, or what their kind has; or codes
reconstruct   images decoded from their posterior means or codes; in a .png beneath the images
sample        images of draws from the prior; of a conditional model, of the class --label
interpolate   each image turned into the next, over the line between their posterior means

An .npz output holds arrays named as in the signatures of an export, a .png output a grid of images.
"""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from vae_lowlevel import cli, files
from vae_lowlevel.config.fields import check, option
from vae_lowlevel.config.flags import read_run
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.experiment.loading import load

if TYPE_CHECKING:
    from vae_lowlevel.serving.predictor import Predictor

COMMANDS = ("encode", "reconstruct", "sample", "interpolate")
PAIRS_IN_A_ROW = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceOptions:
    """Predictor."""

    command: str | None = option(
        None, "What to do; the first word, if it is no flag.", choices=COMMANDS
    )
    model_dir: str | None = option(None, "Run folder, or export (a version or all versions).")
    output: str | None = option(None, "File to write: .npz, or .png for images.")
    input: str | None = option(
        None,
        "Images, .npy, .npz or .png: uint8, or float in [0, 1], of shape [N, H, W, C]. "
        "Default: the first test images of the run's data.",
    )
    count: int = option(16, "How many samples; how many test images without --input.", at_least=1)
    seed: int = option(0, "sample: seed of the draws.", at_least=0, below=2**31)
    label: int | None = option(
        None,
        "Class of all images, for a conditional model; -1 for unknown. Default: the labels of the "
        "test images.",
        at_least=-1,
    )
    steps: int = option(8, "interpolate: images in a row, both ends included.", at_least=2)
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up lines on stderr.")

    def __post_init__(self) -> None:
        check(self)
        if not self.command:
            raise ConfigError(f"the first word must be one of {', '.join(COMMANDS)}")
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: a run folder or an export")
        if not self.output:
            raise ConfigError("--output is needed: the .npz or .png file to write")
        allowed = (".npz",) if self.command == "encode" else (".npz", ".png")
        if not self.output.endswith(allowed):
            raise ConfigError(
                f"--output of {self.command} must end in {' or '.join(allowed)}, "
                f"got {self.output!r}"
            )
        folder = os.path.dirname(self.output)
        if folder and not os.path.isdir(folder):
            raise ConfigError(f"--output={self.output}: there is no folder {folder}; make it first")
        if self.command == "sample" and self.input:
            raise ConfigError(f"sample takes no images: leave out --input={self.input}")


def run(options: InferenceOptions) -> None:
    """Runs one command and writes its output."""
    model = load(options.model_dir)
    _check_model(options, model)
    if options.command == "sample":
        images = None
        arrays = {"image": model.sample(options.count, options.seed, options.label)}
    else:
        images, labels = _read_input(options, model.image_shape)
        if not model.is_conditional or options.label is not None:
            labels = options.label
        arrays = _transform(options, model, images, labels)
    if options.output.endswith(".npz"):
        np.savez(options.output, **arrays)
    else:
        from vae_lowlevel.plots.grids import write_png

        write_png(options.output, _draw(options, images, arrays["image"]))
    print(f"wrote {options.output}")


def _check_model(options: InferenceOptions, model: Predictor) -> None:
    """Refuses what the model cannot do, and a label that is missing or too many."""
    if options.command == "sample" and not model.can_sample:
        from vae_lowlevel.serving.predictor import NO_SAMPLES

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


def _read_input(
    options: InferenceOptions, image_shape: tuple[int, int, int]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns images, float32 [N, H, W, C] in [0, 1], and their labels if they are known."""
    if options.input:
        from vae_lowlevel.data.images import read_images
        from vae_lowlevel.serving.predictor import unit_images

        try:
            images = unit_images(read_images(options.input), image_shape)
        except ValueError as error:
            raise DataError(f"--input={options.input}: {error}") from None
        if not len(images):
            raise DataError(f"--input={options.input}: expected at least one image, found none")
        return images, None
    if not files.is_file(os.path.join(options.model_dir, "flags.cfg")):
        raise ConfigError(
            f"--input is needed: {options.model_dir} is an export, which knows of no test images"
        )
    from vae_lowlevel.data.load import load_dataset
    from vae_lowlevel.types import to_unit

    dataset = load_dataset(read_run(options.model_dir).data)
    examples = dataset.test[: options.count]
    return to_unit(examples.image).numpy(), examples.label


def _transform(
    options: InferenceOptions,
    model: Predictor,
    images: np.ndarray,
    label: np.ndarray | int | None,
) -> dict[str, np.ndarray]:
    if options.command == "encode":
        return model.encode(images, label).to_dict()
    if options.command == "reconstruct":
        return {"image": model.reconstruct(images, label)}
    if len(images) < 2:
        raise DataError("interpolate goes from each image to the next: expected 2 or more, got 1")
    label = label[:-1] if np.ndim(label) else label  # a pair is of the class of its first image
    return {"image": model.interpolate(images[:-1], images[1:], options.steps, label)}


def _draw(options: InferenceOptions, images: np.ndarray | None, results: np.ndarray) -> np.ndarray:
    """Returns the results as a picture, uint8 [.., .., C]."""
    from vae_lowlevel.plots.grids import comparison_grid, image_grid

    if options.command == "reconstruct":
        return comparison_grid(images, results, columns=min(len(images), PAIRS_IN_A_ROW))
    if options.command == "interpolate":
        return image_grid(results.reshape(-1, *results.shape[2:]), columns=options.steps)
    return image_grid(results, columns=math.ceil(math.sqrt(len(results))))


def main(argv: list[str] | None = None) -> int:
    """Runs the command line and returns the exit code; the first word is the command."""
    argv = list(sys.argv[1:] if argv is None else argv)
    if argv and not argv[0].startswith("-"):
        argv[0] = f"--command={argv[0]}"
    return cli.main(__doc__, InferenceOptions, run, argv)


if __name__ == "__main__":
    sys.exit(main())
