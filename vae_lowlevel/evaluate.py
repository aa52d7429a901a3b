"""Recomputes the test metrics of a run from its best weights.

python -m vae_lowlevel.evaluate --model_dir=runs/fashion
"""

from __future__ import annotations

import dataclasses
import sys

from vae_lowlevel import settings, startup
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.options import check, option


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluateOptions:
    """Evaluation."""

    model_dir: str | None = option(None, "Run folder to evaluate.")
    data_dir: str | None = option(None, "Folder with the data files, if not where training had it.")
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up lines on stderr.")

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to evaluate")


def run(options: EvaluateOptions) -> None:
    """Prints the test metrics, draws the figures again and updates the run's `metrics.json`."""
    config = settings.read_run(options.model_dir)
    if options.data_dir:
        config = config.replace(data_dir=options.data_dir)

    from vae_lowlevel import workflow
    from vae_lowlevel.training.run_folder import RunFolder

    metrics = workflow.evaluate_run(config, RunFolder(options.model_dir))
    print(f"test split, best weights of {options.model_dir}:\n{workflow.format_metrics(metrics)}")


if __name__ == "__main__":
    sys.exit(startup.main(__doc__, EvaluateOptions, run))
