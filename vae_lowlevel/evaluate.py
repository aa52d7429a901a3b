"""Recomputes the test metrics of a run from its best weights.

python -m vae_lowlevel.evaluate --model_dir=runs/fashion
"""

from __future__ import annotations

import dataclasses
import sys

from vae_lowlevel import cli
from vae_lowlevel.config.fields import Options, check, option
from vae_lowlevel.config.objective import CORRUPTIONS, STRENGTH_HELP, check_corruption
from vae_lowlevel.config.training import DEVICES
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment.folder import RunFolder


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


def run(options: EvaluateOptions) -> None:
    """Prints the test metrics, draws the figures again and updates the run's `metrics.json`."""
    folder = RunFolder(options.model_dir)
    config = folder.read_config().on_one_device(options.device, options.device_index)
    if options.data_dir:
        config = config.replace(data_dir=options.data_dir)

    from vae_lowlevel.experiment.results import evaluate_run, format_metrics

    metrics = evaluate_run(config, folder, options.corruption, options.corruption_strength)
    split = "test split" if options.corruption == "none" else f"test split, {options.corruption}"
    print(f"{split}, best weights of {options.model_dir}:\n{format_metrics(metrics)}")


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, EvaluateOptions, run))
