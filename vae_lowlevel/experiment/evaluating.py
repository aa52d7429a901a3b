"""Measures the best weights of a run again, by the instruments that `--metrics` names."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from vae_lowlevel.config import Config
from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.data.batching import choose_examples, padded_batches
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.decomposition import measure_decomposition
from vae_lowlevel.evaluation.latents import measure_latents
from vae_lowlevel.evaluation.likelihood import ImportanceSampling, summarize_bounds
from vae_lowlevel.evaluation.likelihood_regret import has_gaussian_posterior
from vae_lowlevel.evaluation.sample_quality import SampleQuality
from vae_lowlevel.experiment.anomaly_evaluation import measure_anomaly
from vae_lowlevel.experiment.disentanglement_evaluation import measure_run_disentanglement
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.experiment.results import measure_corrupted, measure_test
from vae_lowlevel.experiment.samplers import MOST_CODES, draw_codes, fit_sampler
from vae_lowlevel.experiment.subject import Subject, progress_bar
from vae_lowlevel.experiment.visualizing import draw_denoising, draw_run
from vae_lowlevel.training.devices import configure_runtime, deterministic_operations


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
            load_best(folder, options.precision).model,
            options,
        )
        results = {}
        for name in options.metric_names:
            measured = INSTRUMENTS[name](subject)
            if options.precision != "float32":
                note = {"precision": options.precision}
                measured = {key: {**values, **note} for key, values in measured.items()}
            results.update(measured)
            # Kept at once: what comes next may take long, or fail.
            folder.update_metrics(results)
    return results


def _measure_test(subject: Subject) -> dict[str, Any]:
    config, folder, dataset = subject.config, subject.folder, subject.dataset
    model, options = subject.model, subject.options
    if options.corruption != "none":
        corruption = options.corruption, options.corruption_strength
        metrics = measure_corrupted(config, model, dataset, *corruption)
        draw_denoising(config, folder, dataset, model, corruption)
        return {"test_corrupted": metrics}
    metrics = measure_test(config, model, dataset)
    if options.examples is not None:
        metrics["examples"] = len(dataset.test)
    draw_run(config, folder, dataset, model, folder.read_metrics())
    return {"test": metrics}


def _measure_likelihood(subject: Subject) -> dict[str, Any]:
    subject.require_prior("likelihood")
    options = subject.options
    estimator = ImportanceSampling(
        subject.model,
        num_samples=options.importance_samples,
        proposal=options.proposal,
        proposal_scale=options.proposal_scale,
        decode_batch=subject.decode_batch,
        seed=options.seed,
        jit_compile=subject.jit_compile,
    )
    bounds = estimator(subject.dataset.test, progress_bar("likelihood"))
    summary = summarize_bounds(bounds, estimator.sizes, subject.bpd_dimensions)
    proposal = {"proposal": options.proposal, "proposal_scale": options.proposal_scale}
    return {"likelihood": {**summary, **proposal}}


def _measure_decomposition(subject: Subject) -> dict[str, Any]:
    subject.require_prior("decomposition")
    if not has_gaussian_posterior(subject.model):
        raise ConfigError(
            "--metrics=decomposition needs Gaussian posteriors, of --model=vae with "
            f"--posterior=diagonal or full, but {subject.folder.path} has {subject.posterior_name}"
        )
    batch_size = subject.config.training.evaluation_batch_size
    parts = measure_decomposition(
        subject.model,
        padded_batches(subject.dataset.test, batch_size),
        batch_size=batch_size,
        draws=subject.options.decomposition_draws,
        seed=subject.options.seed,
        progress=progress_bar("decomposition"),
    )
    return {"decomposition": parts}


def _measure_latents(subject: Subject) -> dict[str, Any]:
    if subject.dataset.num_classes:
        subject.require_scikit_learn("latents")
    options = subject.options
    examples = choose_examples(subject.dataset.train, options.probe_examples, options.seed)
    batch_size = subject.config.training.evaluation_batch_size
    metrics = measure_latents(
        subject.model,
        padded_batches(examples, batch_size),
        padded_batches(subject.dataset.test, batch_size),
        batch_size=batch_size,
    )
    return {"latents": {**metrics, "probe_examples": len(examples)}}


def _measure_samples(subject: Subject) -> dict[str, Any]:
    subject.require_prior("samples")
    model, dataset, options = subject.model, subject.dataset, subject.options
    batch_size = subject.config.training.evaluation_batch_size
    density = fit_sampler(
        options.sampler,
        model,
        dataset,
        components=options.sampler_components,
        batch_size=batch_size,
        seed=options.seed,
    )
    quality = SampleQuality(
        model,
        choose_examples(dataset.train, MOST_CODES, options.seed),
        dataset.test,
        draw_codes(model, dataset.test, batch_size, options.seed),
        batch_size=batch_size,
        seed=options.seed,
    )
    samples = {"prior": quality(model.prior)}
    if density is not None:
        samples[options.sampler] = quality(density)
    return {"samples": samples}


INSTRUMENTS: dict[str, Callable[[Subject], dict[str, Any]]] = {
    "test": _measure_test,
    "likelihood": _measure_likelihood,
    "samples": _measure_samples,
    "decomposition": _measure_decomposition,
    "latents": _measure_latents,
    "disentanglement": measure_run_disentanglement,
    "anomaly": measure_anomaly,
}
