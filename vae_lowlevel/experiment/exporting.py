"""Exports the best weights of a run: loaded, scored, published."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.config.flags import format_flagfile
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import RunError
from vae_lowlevel.experiment.anomaly import NormalScores, find_normal_scores
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import BestModel, load_best
from vae_lowlevel.experiment.samplers import fit_sampler
from vae_lowlevel.serving import version_folder
from vae_lowlevel.serving.model_card import RunFacts, write_model_card
from vae_lowlevel.serving.publish import publish
from vae_lowlevel.serving.server_files import write_server_files
from vae_lowlevel.serving.signatures import ServingModel

# Figures of a run that its model card shows, where there are.
FIGURES = ("reconstructions", "samples", "units")


def export_run(options: ExportOptions) -> str:
    """Publishes the best weights of a run as the next version of its export.

    Args:
        options: which run, and how.

    Returns:
        The folder of the new version, `<export_dir>/<name>/<version>`.

    Raises:
        ConfigError: the model does not have the score of `anomaly_score`.
        RunError: the run cannot be read, the export cannot be written, or it does not answer as
            the model does.
    """
    folder = RunFolder(options.model_dir)
    best = load_best(folder, options.serving_precision)
    with version_folder.start_replay() as replaying:
        serving_model = ServingModel(
            best.model,
            sampler=_fit_sampler(options, folder, best),
            anomaly_score=options.anomaly_score,
            interpolation_steps=options.interpolation_steps,
            jit_compile=options.export_platforms == "xla",
        )
        # Of the very model that is exported: in bfloat16 the scores are others than in float32.
        scores = find_normal_scores(serving_model, best, folder)
        test = _test_metrics(folder)
        return publish_model(serving_model, best, scores, test, options, replaying=replaying)


def publish_model(
    serving_model: ServingModel,
    best: BestModel,
    scores: NormalScores,
    test_metrics: Mapping[str, Any],
    options: ExportOptions,
    publication: str | None = None,
    *,
    replaying: subprocess.Popen | None = None,
) -> str:
    """Publishes a serving model of a run with its threshold and model card.

    Args:
        serving_model: built as `options` say; its threshold is set here.
        best: the model in it.
        scores: of normal images, by this serving model.
        test_metrics: for the model card; may be empty.
        options: which run, and how.
        publication: name of this publication, of which there is one version; see `publish`.
        replaying: of `start_replay`, where it was started before.

    Returns:
        The folder of the version.
    """
    folder = RunFolder(options.model_dir)
    config = folder.read_config()
    name = options.name or config.name
    serving_model.anomaly_threshold.assign(scores.threshold(options.anomaly_quantile))
    figures = (folder.figure(figure) for figure in FIGURES)
    facts = RunFacts(
        name=name,
        dataset=config.data.dataset,
        network=config.model.network,
        likelihood=config.model.likelihood,
        flagfile=format_flagfile(config),
        metrics=test_metrics,
        checkpoint=best.checkpoint,
        sampler=options.sampler,
        anomaly_quantile=options.anomaly_quantile,
        anomaly_split=scores.split,
        precision=best.precision,
        figures=tuple(path for path in figures if files.is_file(path)),
    )

    def write(version: str) -> None:
        write_model_card(version, serving_model, facts)
        version_folder.write_version(
            version,
            serving_model,
            name,
            precision=best.precision,
            with_warmup=options.export_platforms == "portable",
            replaying=replaying,
        )

    path = publish(write, options.export_dir, name, options.keep_versions, publication)
    try:
        write_server_files(os.path.dirname(path), name)
    except OSError as error:
        raise RunError(f"{path} is exported, but not the settings for a server: {error}") from error
    return path


def _fit_sampler(options: ExportOptions, folder: RunFolder, best: BestModel) -> tf.Module | None:
    """Fits the density of `--sampler` to the run's training images; None for the prior."""
    if options.sampler == "prior":
        return None
    config = folder.read_config()
    return fit_sampler(
        options.sampler,
        best.model,
        load_dataset(config.data),
        components=options.sampler_components,
        batch_size=config.training.evaluation_batch_size,
        seed=config.training.seed,
    )


def _test_metrics(folder: RunFolder) -> Mapping[str, Any]:
    """Returns the test metrics of a finished run; none for another."""
    test = folder.read_metrics().get("test", {})
    if not isinstance(test, dict):
        raise RunError(f"{folder.metrics}: expected test metrics by name, found {test!r}")
    return test
