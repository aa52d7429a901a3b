"""Measures which scores of a run's model tell anomalies from normal test images."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.load import find_class, load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.evaluation.detection import measure_detection
from vae_lowlevel.evaluation.likelihood import ImportanceSampling
from vae_lowlevel.evaluation.likelihood_regret import LikelihoodRegret, has_gaussian_posterior
from vae_lowlevel.experiment.subject import DECODE_BATCH, Subject, progress_bar
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import Examples

NO_PRIOR = "the model has no prior p(z)"


class Contrast(NamedTuple):
    """What is told apart.

    Attributes:
        normal: test images like those of training.
        anomalies: test images unlike them.
        facts: for the report, where the anomalies are from.
    """

    normal: Examples
    anomalies: Examples
    facts: dict[str, Any]


def measure_anomaly(subject: Subject) -> dict[str, Any]:
    """Measures each score on normal test images and anomalies.

    The labels of all images are unknown to a conditional model: the classes of anomalies are, and
    a score must not know of the others.

    Args:
        subject: with the data and the options that say what the anomalies are.

    Returns:
        `anomaly`: for each score `auroc`, `aupr` and `fpr95`, or None where `absent` has the
        reason; `best_score`, the name of the score of highest AUROC; the numbers of images and
        where the anomalies are from.

    Raises:
        ConfigError: nothing says what the anomalies are, or they do not fit the model.
        DataError: the data of the anomalies are missing or damaged.
    """
    if subject.options.ood_dataset is not None:
        contrast = other_dataset(subject)
    else:
        contrast = held_out_class(subject)
    counts = len(contrast.normal), len(contrast.anomalies)
    image = np.concatenate([contrast.normal.image, contrast.anomalies.image])
    is_anomaly = np.arange(len(image)) >= counts[0]
    scores, absent = compute_scores(subject, Examples(image, np.full(len(image), -1, np.int32)))
    for name, score in scores.items():
        if score is not None and np.any(np.isnan(score)):
            scores[name], absent[name] = None, f"NaN for {np.sum(np.isnan(score))} images"
    measures = {
        name: None if score is None else measure_detection(score, is_anomaly)
        for name, score in scores.items()
    }
    known = {name: measure["auroc"] for name, measure in measures.items() if measure}
    facts = {
        **contrast.facts,
        "normal_examples": counts[0],
        "anomaly_examples": counts[1],
        "best_score": max(known, key=known.get) if known else None,
    }
    return {"anomaly": {**facts, **measures, "absent": absent}}


def compute_scores(
    subject: Subject, examples: Examples
) -> tuple[dict[str, np.ndarray | None], dict[str, str]]:
    """Computes all scores of images; a higher one means less like the training images.

    `negative_elbo`, `distortion`, `rate` and `bias_corrected` are those that an export can have as
    its `anomaly_score`, from the same code.

    Args:
        subject: the model and the options.
        examples: N images.

    Returns:
        float32 [N] by name, nats, None where the model does not have a score; and the reasons.
    """
    model, options = subject.model, subject.options
    kind = "bias_corrected" if model.has_prior else "distortion"
    predictor = Predictor.from_model(ServingModel(model, anomaly_score=kind))
    terms = predictor.score(examples.image, examples.label if predictor.is_conditional else None)
    scores: dict[str, np.ndarray | None] = {"distortion": terms.distortion}
    others = ("negative_elbo", "rate", "bias_corrected", "nll", "likelihood_regret")
    if not model.has_prior:
        return {**scores, **dict.fromkeys(others)}, dict.fromkeys(others, NO_PRIOR)
    scores["negative_elbo"] = -terms.elbo
    scores["rate"] = terms.rate
    scores["bias_corrected"] = terms.anomaly_score
    settings = {"seed": options.seed, "jit_compile": subject.jit_compile}
    likelihood = ImportanceSampling(
        model,
        num_samples=options.anomaly_samples,
        decode_batch=subject.decode_batch,
        **settings,
    )
    scores["nll"] = -likelihood(examples, progress_bar("nll"))[:, -1]
    if not has_gaussian_posterior(model):
        reason = f"it needs a Gaussian posterior, which {subject.posterior_name} does not have"
        return {**scores, "likelihood_regret": None}, {"likelihood_regret": reason}
    # Its steps decode few z of each image and are slower with few images.
    regret = LikelihoodRegret(
        model,
        steps=options.regret_steps,
        decode_batch=options.decode_batch or DECODE_BATCH,
        **settings,
    )
    scores["likelihood_regret"] = regret(examples, progress_bar("likelihood_regret"))
    return scores, {}


def other_dataset(subject: Subject) -> Contrast:
    """Returns the test images of the run and those of `ood_dataset`, prepared in the same way.

    A class that was left out of training is no anomaly here, and not normal either.
    """
    name, data = subject.options.ood_dataset, subject.config.data
    if name == data.dataset:
        raise ConfigError(
            f"--ood_dataset={name} is the data set of {subject.folder.path} itself; name another, "
            "or a class of it with --anomaly_class"
        )
    height, width, channels = subject.model.image_shape
    is_sized = name.partition(":")[0] in ("shapes", "folder")
    settings = DataConfig(
        dataset=name,
        data_dir=data.data_dir,
        validation_size=0,
        image_size=height if is_sized else data.image_size,
        pad_to=data.pad_to,
        # Test images are drawn once in either way; static would draw the training images too.
        binarize="none" if data.binarize == "none" else "dynamic",
    )
    other = load_dataset(settings)
    if other.image_shape != (height, width, channels):
        raise ConfigError(
            f"--ood_dataset={name} has images of {_sizes(other.image_shape)}, expected those of "
            f"the model of {subject.folder.path}, {_sizes(subject.model.image_shape)}; name "
            "another data set"
        )
    normal = subject.dataset.test
    left_out = data.anomaly_class
    if left_out is not None:
        number = find_class(left_out, subject.dataset.class_names)
        normal = normal[normal.label != number]
        if not len(normal):
            raise ConfigError(f"there are no test images other than of --anomaly_class={left_out}")
    return Contrast(normal, other.test[: subject.options.examples], {"ood_dataset": name})


def held_out_class(subject: Subject) -> Contrast:
    """Returns the test images of a class, and the others.

    If another class was left out of training, its images are no anomalies here, and not normal
    either.
    """
    left_out = subject.config.data.anomaly_class
    given = subject.options.anomaly_class
    if given is None and left_out is None:
        raise ConfigError(
            f"--metrics=anomaly needs anomalies, and no class was left out when "
            f"{subject.folder.path} was trained: give --ood_dataset=<data set>, or --anomaly_class"
            "=<class>"
        )
    class_names, test = subject.dataset.class_names, subject.dataset.test
    number = find_class(left_out if given is None else given, class_names)
    unseen = None if left_out is None else find_class(left_out, class_names)
    is_anomaly = test.label == number
    is_normal = ~is_anomaly if unseen is None else ~is_anomaly & (test.label != unseen)
    if not np.any(is_anomaly) or not np.any(is_normal):
        raise ConfigError(
            f"--anomaly_class={class_names[number]} needs test images of this class and of others, "
            f"found {np.sum(is_anomaly)} of it and {np.sum(is_normal)} others among {len(test)}; "
            "name another class, or raise --examples"
        )
    facts = {"anomaly_class": class_names[number], "trained_with_the_class": number != unseen}
    return Contrast(test[is_normal], test[is_anomaly], facts)


def _sizes(image_shape: tuple[int, int, int]) -> str:
    return " x ".join(map(str, image_shape))
