"""What an evaluation measures: a trained model with its data and settings."""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import math

import tqdm

from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.training.devices import visible_device_type
from vae_lowlevel.types import Dataset, Model, ProgressBar

DECODE_BATCH, SMALL_DECODE_BATCH = 2000, 250


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        config: of the run, for one device.
        folder: of the run.
        dataset: of the run; its test split has the examples that are measured.
        model: with the best weights; its hidden layers have the options' precision.
        options: of the evaluation.
    """

    config: Config
    folder: RunFolder
    dataset: Dataset
    model: Model
    options: EvaluateOptions

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles what is measured: on GPUs.

        On a CPU, TensorFlow's own kernels decode many draws faster, also for dense networks.
        """
        return visible_device_type() == "GPU"

    @property
    def decode_batch(self) -> int:
        """Most z that importance sampling decodes at once.

        On a CPU, the maps of few images at a time stay in the caches.
        """
        has_maps = self.config.model.network != "mlp"
        is_small = has_maps and visible_device_type() == "CPU"
        return self.options.decode_batch or (SMALL_DECODE_BATCH if is_small else DECODE_BATCH)

    @property
    def bpd_dimensions(self) -> int | None:
        """H W C where the likelihood is one of discrete grey levels; None where it is not."""
        return math.prod(self.model.image_shape) if self.config.model.has_grey_levels else None

    @property
    def posterior_name(self) -> str:
        """The setting that decides what q(z|x) is."""
        model = self.config.model
        return "--model=ladder" if model.model == "ladder" else f"--posterior={model.posterior}"

    def require_prior(self, metric: str) -> None:
        """Refuses a model without a prior.

        Raises:
            ConfigError: the model has none.
        """
        if not self.model.has_prior:
            raise ConfigError(
                f"--metrics={metric} needs a model with a prior p(z), but --model of "
                f"{self.folder.path} is {self.config.model.model}"
            )

    def require_scikit_learn(self, metric: str) -> None:
        """Refuses to go on without the package.

        Raises:
            ConfigError: it is not installed.
        """
        if importlib.util.find_spec("sklearn") is None:
            raise ConfigError(
                f"--metrics={metric} needs scikit-learn, which is not installed: "
                "pip install '.[evaluation]' in the package's folder"
            )


def progress_bar(title: str) -> ProgressBar:
    """Returns what wraps the numbers of batches to show a bar, where stderr is a terminal."""
    return functools.partial(tqdm.tqdm, desc=title, dynamic_ncols=True, disable=None)
