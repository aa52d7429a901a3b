"""Computes the test metrics of a run again, from its best weights.

python -m vae_lowlevel.evaluate --model_dir=runs/fashion
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.experiment.folder import RunFolder


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
