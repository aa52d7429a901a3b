"""Measures the best weights of a run again, by the instruments that `--metrics` names."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import tqdm

from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.likelihood import ImportanceSampling, summarize_bounds
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.experiment.results import draw_test, measure_corrupted, measure_test
from vae_lowlevel.training.devices import (
    choose_compilation,
    configure_runtime,
    deterministic_operations,
    visible_device_type,
)
from vae_lowlevel.types import Dataset, Examples, Model


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        config: of the run, for one device.
        folder: of the run.
        dataset: of the run; its test split has the examples that are measured.
        model: with the best weights, float32.
        options: of the evaluation.
    """

    config: Config
    folder: RunFolder
    dataset: Dataset
    model: Model
    options: EvaluateOptions

    @property
    def jit_compile(self) -> bool:
        """Whether XLA compiles what is measured, as it would compile the training."""
        return choose_compilation(self.config, visible_device_type()) == "block"

    @property
    def bpd_dimensions(self) -> int | None:
        """H W C where the likelihood is one of discrete grey levels; None where it is not."""
        is_discrete = self.config.model.likelihood == "discretized_logistic"
        return math.prod(self.model.image_shape) if is_discrete else None

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


def evaluate_run(config: Config, folder: RunFolder, options: EvaluateOptions) -> dict[str, Any]:
    """Measures a run; updates `metrics.json` of a finished run.

    Args:
        config: of the run, for one device.
        folder: its folder.
        options: what is measured, and how.

    Returns:
        The metrics by the name of the measurement, as they are in `metrics.json`.

    Raises:
        ConfigError: a measurement does not apply to the model.
        DataError: the data are missing or damaged.
        RunError: the run cannot be read.
    """
    configure_runtime(config.training)
    with deterministic_operations(config.training.deterministic):
        folder.read_metrics()  # Refuses a damaged file before the work.
        dataset = load_dataset(config.data)
        test = dataset.test[: options.examples]
        subject = Subject(
            config,
            folder,
            dataclasses.replace(dataset, test=test),
            load_best(folder).model,
            options,
        )
        results = {}
        for name in options.metric_names:
            results.update(INSTRUMENTS[name](subject))
            # Kept at once: what comes next may take long, or fail.
            folder.update_metrics(results)
    return results


def _measure_test(subject: Subject) -> dict[str, Any]:
    config, folder, dataset, model, options = (
        getattr(subject, field.name) for field in dataclasses.fields(subject)
    )
    if options.corruption != "none":
        metrics = measure_corrupted(
            config, model, dataset, folder, options.corruption, options.corruption_strength
        )
        return {"test_corrupted": metrics}
    metrics = measure_test(config, model, dataset)
    if options.examples is not None:
        metrics["examples"] = len(dataset.test)
    draw_test(config, model, dataset, folder)
    return {"test": metrics}


def log_likelihoods(subject: Subject, examples: Examples, title: str) -> tuple[Any, list[int]]:
    """Returns bounds of log p(x), float32 [N, K], and the K numbers of draws they are from."""
    options = subject.options
    estimator = ImportanceSampling(
        subject.model,
        num_samples=options.importance_samples,
        decode_batch=options.decode_batch,
        seed=options.seed,
        jit_compile=subject.jit_compile,
    )
    progress = functools.partial(tqdm.tqdm, desc=title, dynamic_ncols=True, disable=None)
    return estimator(examples, progress), estimator.sizes


def _measure_likelihood(subject: Subject) -> dict[str, Any]:
    subject.require_prior("likelihood")
    bounds, sizes = log_likelihoods(subject, subject.dataset.test, "likelihood")
    return {"likelihood": summarize_bounds(bounds, sizes, subject.bpd_dimensions)}


INSTRUMENTS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "test": _measure_test,
    "likelihood": _measure_likelihood,
}
