"""Settings of inference: which command, on what, to which file."""

from __future__ import annotations

import dataclasses
import os

from vae_lowlevel.config.fields import Options, check, option, quote
from vae_lowlevel.errors import ConfigError

COMMANDS = ("encode", "reconstruct", "sample", "interpolate", "traverse")
# As in serving/latent_paths.py.
PATHS = ("linear", "spherical")
BETWEEN = ("images", "classes", "samples")


@dataclasses.dataclass(frozen=True, kw_only=True)
class InferenceOptions(Options):
    """Inference."""

    command: str | None = option(
        None,
        "What to do; also the first word of the command line.",
        choices=COMMANDS,
    )
    model_dir: str | None = option(
        None, "Run folder, version of an export, or folder of the versions (the newest is used)."
    )
    output: str | None = option(None, "File to write: .npz, or .png for images.")
    input: str | None = option(
        None,
        "Images, .npy, .npz or .png: uint8, or float in [0, 1], of shape [N, H, W, C]. "
        "Default: the first test images of the run's data.",
    )
    count: int = option(
        16, "Number of samples, or of test images without --input.", at_least=1, at_most=100_000
    )
    seed: int = option(
        0, "sample, interpolate: seed of the draws from the prior.", at_least=0, below=2**31
    )
    temperature: float = option(
        1.0,
        "sample: factor of the prior's scale. Below 1, the images are more typical and less "
        "different.",
        at_least=0,
        at_most=100,
    )
    label: int | None = option(
        None,
        "Class of all images, for a conditional model; -1 for an unknown class. Default: the "
        "labels of the test images.",
        at_least=-1,
    )
    steps: int = option(
        8, "interpolate, traverse: images per row, both ends included.", at_least=2, at_most=1000
    )
    between: str = option(
        "images",
        "interpolate: what the ends of a row are. images: each image and the next. classes: the "
        "mean z of the images of each class and of the next. samples: --count draws from the "
        "prior.",
        choices=BETWEEN,
    )
    path: str = option(
        "linear",
        "interpolate: a straight line between two z, or spherical: the arc of a great circle.",
        choices=PATHS,
    )
    span: float = option(
        3.0, "traverse: every dimension of z goes from -span to span.", above=0, at_most=1000
    )
    tensorflow_log: bool = option(
        False, "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does."
    )

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
                f"got {quote(self.output)}"
            )
        folder = os.path.dirname(self.output)
        if folder and not os.path.isdir(folder):
            raise ConfigError(
                f"--output={self.output}: there is no folder {folder}; create it first"
            )
        takes_samples = self.command == "interpolate" and self.between == "samples"
        if (self.command == "sample" or takes_samples) and self.input:
            what = "interpolate --between=samples" if takes_samples else "sample"
            raise ConfigError(f"{what} takes no images: leave out --input={self.input}")
        if self.command == "interpolate" and self.between == "classes" and self.input:
            raise ConfigError(
                "interpolate --between=classes uses the labelled test images of the run: leave out "
                f"--input={self.input}"
            )
