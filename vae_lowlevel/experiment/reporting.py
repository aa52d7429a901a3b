"""The report of a finished run, and the latent explorer next to it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from typing import Any

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import format_flagfile
from vae_lowlevel.config.visualize import FIGURES
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.exploring import write_explorer
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.pages.report import ReportData, ReportFigure, report_page

# Entries of metrics.json that are not measurements.
_NOT_MEASURED = {"history", "flags", "versions", "export"}


def write_pages(config: Config, folder: RunFolder, *, with_explorer: bool) -> list[str]:
    """Writes the report and, if asked for, the explorer.

    Args:
        config: of the run.
        folder: of the run.
        with_explorer: whether to write the latent explorer too.

    Returns:
        The paths of the pages.

    Raises:
        ConfigError: there can be no explorer of this model.
        DataError: the data are missing or damaged.
        RunError: the run is not finished or cannot be read.
    """
    paths = []
    if with_explorer:
        dataset, model = load_dataset(config.data), load_best(folder).model
        paths.append(write_explorer(config, folder, dataset, model, folder.explorer))
    return [write_report(config, folder), *paths]


def write_report(config: Config, folder: RunFolder) -> str:
    """Writes `report.html` from what the run folder holds: metrics and figures.

    Args:
        config: of the run.
        folder: of the run.

    Returns:
        The path of the page.

    Raises:
        RunError: the run is not finished, or its metrics cannot be read.
    """
    metrics = folder.read_metrics()
    if "test" not in metrics:
        raise RunError(
            f"{folder.path}: expected a finished run, found no test metrics; finish it with: "
            f"{folder.resume_command}"
        )
    default = Config().to_flat()
    flags = config.to_flat()
    data = ReportData(
        title=os.path.basename(os.path.abspath(folder.path)),
        summary=_summary(config, metrics),
        metrics=_groups(metrics),
        figures=_figures(folder),
        flags=format_flagfile(config),
        changed_flags=[name for name, value in flags.items() if value != default[name]],
        commands=_commands(folder),
        versions=metrics.get("versions", {}),
        explorer=os.path.basename(folder.explorer) if files.is_file(folder.explorer) else "",
    )
    files.write(folder.report, report_page(data).encode())
    return folder.report


def _summary(config: Config, metrics: Mapping[str, Any]) -> list[str]:
    model = config.model
    kind = (
        f"{model.model} with {model.network} networks, {model.sizes.latent_dim} latent dimensions"
    )
    seconds, speed = metrics["train_seconds"], metrics["images_per_second"]
    return [
        f"data: {config.data.dataset}",
        f"model: {kind}",
        f"training: {len(metrics['history'])} epochs, {metrics['step']} steps in {seconds:.0f} s "
        f"({speed:.0f} images/s); weights of epoch {metrics['best_epoch']}",
    ]


def _groups(metrics: Mapping[str, Any]) -> dict[str, dict[str, object]]:
    """Returns what was measured, by group; tables within a group by names with dots."""
    groups = {
        name: _flatten(values)
        for name, values in metrics.items()
        if isinstance(values, dict) and name not in _NOT_MEASURED
    }
    return {name: values for name, values in groups.items() if values}


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat.update(_flatten(value, f"{prefix}{name}."))
        elif not isinstance(value, list):
            flat[f"{prefix}{name}"] = value
    return flat


def _figures(folder: RunFolder) -> list[ReportFigure]:
    paths = {name: folder.figure(name) for name in FIGURES}
    return [
        ReportFigure(name, FIGURES[name], files.read(path))
        for name, path in paths.items()
        if files.is_file(path)
    ]


def _commands(folder: RunFolder) -> list[tuple[str, str]]:
    place = f"--model_dir={shlex.quote(folder.path)}"
    return [
        (
            "Train again from these settings, in another folder",
            f"{folder.resume_command} --model_dir={shlex.quote(folder.path + '_again')}",
        ),
        ("Measure", f"python -m vae_lowlevel.evaluate {place} --metrics=test,likelihood"),
        ("Draw all figures", f"python -m vae_lowlevel.visualize {place}"),
        (
            "Write this page again, with the explorer",
            f"python -m vae_lowlevel.report {place} --explorer",
        ),
        ("Export for serving", f"python -m vae_lowlevel.export {place}"),
        ("Use in Python", f"import vae_lowlevel\nvae = vae_lowlevel.load({folder.path!r})"),
    ]
