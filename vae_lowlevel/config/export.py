"""Settings of an export."""

from __future__ import annotations

import dataclasses
import os

from vae_lowlevel.config.fields import Options, check, option, quote
from vae_lowlevel.config.sampler import (
    COMPONENTS_HELP,
    MOST_COMPONENTS,
    SAMPLER_HELP,
    SAMPLERS,
)
from vae_lowlevel.errors import ConfigError

ANOMALY_SCORES = ("negative_elbo", "distortion", "rate", "bias_corrected")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Export."""

    model_dir: str | None = option(None, "Run folder to export.")
    export_dir: str = option("saved_models", "Folder of the exports.")
    name: str | None = option(
        None, "Name of the export (default: a_b for the run folder runs/a/b, else its last part)."
    )
    keep_versions: int | None = option(
        None, "Number of newest versions to keep; older ones are removed.", at_least=1
    )
    anomaly_score: str | None = option(
        None,
        "Which score of an image is the output anomaly_score. negative_elbo: distortion + rate. "
        "bias_corrected: negative_elbo, minus what an ideal decoder would leave of it (default: "
        "negative_elbo; without a prior distortion, the only one).",
        choices=ANOMALY_SCORES,
    )
    sampler: str = option("prior", SAMPLER_HELP, choices=SAMPLERS)
    sampler_components: int = option(100, COMPONENTS_HELP, at_least=1, at_most=MOST_COMPONENTS)
    anomaly_quantile: float = option(
        0.99,
        "An image is_anomaly if it scores above this part of the run's validation images.",
        above=0,
        at_most=1,
    )
    interpolation_steps: int = option(
        8, "Images of the signature interpolate, both ends included.", at_least=2, at_most=1000
    )
    serving_precision: str = option(
        "float32",
        "Number format of the hidden layers; inputs and outputs are float32.",
        choices=("float32", "bfloat16"),
    )
    export_platforms: str = option(
        "portable",
        "portable: a graph that runs everywhere. xla: with networks compiled by XLA, for a server "
        "that allows it; compiled again for each batch size, without a warm-up file.",
        choices=("portable", "xla"),
    )
    tensorflow_log: bool = option(
        False, "Shows TensorFlow's start-up lines, as setting TF_CPP_MIN_LOG_LEVEL does."
    )

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to export")
        if not self.export_dir:
            raise ConfigError("--export_dir must be a folder, got the empty string")
        if self.name is not None and not _is_folder_name(self.name):
            raise ConfigError(f"--name must be the name of one folder, got {quote(self.name)}")


def _is_folder_name(name: str) -> bool:
    return name == os.path.basename(name) and name not in ("", ".", "..")
