"""Settings of an evaluation."""

from __future__ import annotations

import dataclasses

from vae_lowlevel.config.fields import Options, check, option
from vae_lowlevel.config.objective import CORRUPTIONS, STRENGTH_HELP, check_corruption
from vae_lowlevel.config.training import DEVICES
from vae_lowlevel.errors import ConfigError


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions(Options):
    """Evaluation."""

    model_dir: str | None = option(None, "Run folder to evaluate.")
    corruption: str = option(
        "none",
        "Corrupts the test images that the encoder sees. Reconstructions are measured against the "
        "clean images; the metrics are stored as test_corrupted.",
        choices=CORRUPTIONS,
    )
    corruption_strength: float = option(0.25, STRENGTH_HELP, above=0)
    device: str = option(
        "auto", "Device of the evaluation, whatever training used.", choices=DEVICES
    )
    device_index: int = option(0, "Number of the GPU, with --device=gpu.", at_least=0)
    data_dir: str | None = option(
        None, "Folder with the data files (default: the one of training)."
    )
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up lines on stderr.")

    def __post_init__(self) -> None:
        check(self)
        check_corruption(self.corruption, self.corruption_strength)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to evaluate")
