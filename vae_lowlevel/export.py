"""Exports the best weights of a run for serving.

python -m vae_lowlevel.export --model_dir=runs/fashion

Writes the next version <export_dir>/<name>/<version>, a SavedModel that needs TensorFlow alone,
after every signature has answered in a process of its own.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import sys
from collections.abc import Mapping
from typing import Any

from vae_lowlevel import cli, files
from vae_lowlevel.config.fields import check, option
from vae_lowlevel.config.flags import format_flagfile, read_run
from vae_lowlevel.errors import ConfigError, RunError

FIGURES = ("reconstructions.png", "samples.png", "units.png")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Export."""

    model_dir: str | None = option(None, "Run folder to export.")
    export_dir: str = option("saved_models", "Folder of the exports.")
    name: str | None = option(None, "Name of the export (default: that of the run folder).")
    keep_versions: int | None = option(
        None, "Remove all but so many of the newest versions (default: none).", at_least=1
    )
    anomaly_quantile: float = option(
        0.99,
        "is_anomaly is for images that score above this part of the run's validation images.",
        above=0,
        at_most=1,
    )
    interpolation_steps: int = option(
        8, "Images of the signature interpolate, both ends included.", at_least=2
    )
    serving_precision: str = option(
        "float32",
        "Number format of the hidden layers; inputs and outputs are float32.",
        choices=("float32", "bfloat16"),
    )
    export_platforms: str = option(
        "portable",
        "portable: a graph that runs everywhere. xla: with networks compiled by XLA, for a server "
        "that was told to allow it; compiled anew for each batch size, without warm-up file.",
        choices=("portable", "xla"),
    )
    tensorflow_log: bool = option(False, "Show TensorFlow's own start-up lines on stderr.")

    def __post_init__(self) -> None:
        check(self)
        if not self.model_dir:
            raise ConfigError("--model_dir is needed: the run folder to export")
        if not self.export_dir:
            raise ConfigError("--export_dir must be a folder, got the empty string")
        if self.name is not None and not _is_folder_name(self.name):
            raise ConfigError(f"--name must be the name of one folder, got {self.name!r}")


def _is_folder_name(name: str) -> bool:
    return name == os.path.basename(name) and name not in ("", ".", "..")


def export_run(
    model_dir: str,
    export_dir: str,
    *,
    test_metrics: Mapping[str, Any] | None = None,
    **flags: Any,
) -> str:
    """Publishes the best weights of a run, in a module built afresh.

    Args:
        model_dir: the run folder.
        export_dir: folder of all exports.
        test_metrics: for the model card; default: those in the run's `metrics.json`.
        **flags: other settings, as the flags of this program.

    Returns:
        The folder of the new version, `<export_dir>/<name>/<version>`.

    Raises:
        ConfigError: a setting is wrong.
        RunError: the run cannot be read, the export cannot be written, or it does not answer as
            the model does.
    """
    options = ExportOptions(model_dir=model_dir, export_dir=export_dir, **flags)
    config = read_run(options.model_dir)
    name = options.name or config.name

    from vae_lowlevel.experiment.anomaly import normal_scores
    from vae_lowlevel.experiment.loading import load_model, load_model_and_weights
    from vae_lowlevel.serving.model_card import RunFacts, write_model_card
    from vae_lowlevel.serving.publish import publish
    from vae_lowlevel.serving.server_files import write_server_files
    from vae_lowlevel.serving.signatures import ServingModel
    from vae_lowlevel.serving.version_folder import write_version

    model, weights = load_model_and_weights(options.model_dir)
    scores = normal_scores(model, weights, options.model_dir)
    if options.serving_precision != "float32":
        model = load_model(options.model_dir, options.serving_precision)
    is_portable = options.export_platforms == "portable"
    serving_model = ServingModel(
        model,
        anomaly_threshold=scores.threshold(options.anomaly_quantile),
        interpolation_steps=options.interpolation_steps,
        jit_compile=not is_portable,
    )
    figures = (os.path.join(options.model_dir, "figures", figure) for figure in FIGURES)
    facts = RunFacts(
        name=name,
        config=config,
        flagfile=format_flagfile(config),
        metrics=_read_metrics(options.model_dir) if test_metrics is None else test_metrics,
        checkpoint=os.path.basename(weights),
        anomaly_quantile=options.anomaly_quantile,
        anomaly_split=scores.split,
        precision=options.serving_precision,
        figures=tuple(path for path in figures if files.is_file(path)),
    )

    def write(folder: str) -> None:
        write_model_card(folder, serving_model, facts)
        write_version(
            folder,
            serving_model,
            name,
            precision=options.serving_precision,
            with_warmup=is_portable,
        )

    path = publish(write, options.export_dir, name, options.keep_versions)
    write_server_files(os.path.dirname(path), name)
    return path


def _read_metrics(model_dir: str) -> Mapping[str, Any]:
    """Returns the test metrics of a finished run, none of another."""
    path = os.path.join(model_dir, "metrics.json")
    if not files.is_file(path):
        return {}
    try:
        return json.loads(files.read(path))["test"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: expected a run's metrics, found {error!r}") from error


def run(options: ExportOptions) -> None:
    """Exports as the command line says."""
    path = export_run(**dataclasses.asdict(options))
    print(f"exported to {path}; its signatures:")
    print(f"saved_model_cli show --dir {shlex.quote(path)} --all")


if __name__ == "__main__":
    sys.exit(cli.main(__doc__, ExportOptions, run))
