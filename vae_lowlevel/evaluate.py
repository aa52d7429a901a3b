"""Measures the best weights of a run: test metrics, likelihood and more.

python -m vae_lowlevel.evaluate --model_dir=runs/fashion
python -m vae_lowlevel.evaluate --model_dir=runs/fashion --metrics=likelihood --examples=1000
"""

from __future__ import annotations

import sys

from vae_lowlevel import cli
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.experiment.folder import RunFolder


def run(options: EvaluateOptions) -> None:
    """Prints what `--metrics` names and updates the run's `metrics.json`."""
    folder = RunFolder(options.model_dir)
    config = folder.read_config().on_one_device(options.device, options.device_index)
    if options.data_dir:
        config = config.replace(data_dir=options.data_dir)

    from vae_lowlevel.experiment.evaluating import evaluate_run
    from vae_lowlevel.experiment.results import format_metrics

    for name, metrics in evaluate_run(config, folder, options).items():
        subject = "test split" if name == "test" else f"test split, {name}"
        if name == "test_corrupted":
            subject = f"test split, {options.corruption}"
        print(f"{subject}, best weights of {options.model_dir}:\n{format_metrics(metrics)}")


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, EvaluateOptions, run))
