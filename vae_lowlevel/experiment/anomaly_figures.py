"""What the figures of anomaly scores need: scores and reconstructions, passed to `plots`."""

from __future__ import annotations

import os

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel.config.evaluate import EvaluateOptions
from vae_lowlevel.evaluation.detection import auroc
from vae_lowlevel.experiment.anomaly import (
    MOST_TRAINING_IMAGES,
    NormalScores,
    find_normal_scores,
)
from vae_lowlevel.experiment.anomaly_evaluation import Contrast, held_out_class, other_dataset
from vae_lowlevel.experiment.loading import BestModel, find_weights
from vae_lowlevel.experiment.scene import UNKNOWN, Scene
from vae_lowlevel.experiment.subject import Subject
from vae_lowlevel.plots import anomaly_figures
from vae_lowlevel.plots.anomaly_figures import ScoredImages, ScoredSet
from vae_lowlevel.serving.predictor import Predictor
from vae_lowlevel.serving.signatures import ServingModel
from vae_lowlevel.types import Examples, to_unit

EXTREMES = 10
MAPS = 10


def draw_scores(scene: Scene) -> Figure:
    """Draws the scores of test images and, if they are known, of anomalies, and the threshold.

    Classes are not told to a conditional model, because those of anomalies are not known.
    """
    serving_model, contrast = ServingModel(scene.model), _contrast(scene)
    quantile = scene.options.anomaly_quantile
    threshold = _normal_scores(scene, serving_model).threshold(quantile)
    normal = _score(serving_model, contrast.normal)
    anomalies, measured = None, None
    if len(contrast.anomalies):
        score = _score(serving_model, contrast.anomalies)
        anomalies = ScoredSet(_name(contrast), score)
        is_anomaly = np.arange(len(normal) + len(score)) >= len(normal)
        measured = auroc(np.concatenate([normal, score]), is_anomaly)
    note = ""
    if scene.model.num_classes:
        note = (
            "Scores and threshold are those for an unknown class. That of an export is for known "
            "classes."
        )
    return anomaly_figures.draw_score_histograms(
        ScoredSet("test images", normal),
        anomalies,
        threshold,
        score_name=serving_model.anomaly_score,
        quantile=quantile,
        auroc=measured,
        note=note,
    )


def draw_extremes(scene: Scene) -> Figure:
    """Draws the test images of the highest and of the lowest scores, given their classes."""
    serving_model = ServingModel(scene.model)
    images = _scored(scene, serving_model, scene.test)
    return anomaly_figures.draw_extremes(images, EXTREMES, serving_model.anomaly_score)


def draw_maps(scene: Scene) -> Figure:
    """Draws error maps of the first test images and of the first anomalies.

    Where no anomalies are known, the test images of the highest scores take their place.
    """
    serving_model, contrast = ServingModel(scene.model), _contrast(scene)
    groups = {"test images": _scored(scene, serving_model, contrast.normal[:MAPS])}
    if len(contrast.anomalies):
        anomalies = _without_classes(contrast.anomalies[:MAPS])
        groups[_name(contrast)] = _scored(scene, serving_model, anomalies)
    else:
        images = _scored(scene, serving_model, scene.test)
        highest = np.argsort(-images.score, kind="stable")[:MAPS]
        groups["test images of the highest scores"] = images.rows(highest)
    return anomaly_figures.draw_anomaly_maps(groups, serving_model.anomaly_score)


def _normal_scores(scene: Scene, serving_model: ServingModel) -> NormalScores:
    """Returns the scores of validation images: those of the run folder, which know the classes."""
    if scene.model.num_classes:
        split = "validation" if len(scene.dataset.validation) else "train"
        examples = getattr(scene.dataset, split)[:MOST_TRAINING_IMAGES]
        return NormalScores(_score(serving_model, examples), split, "")
    best = BestModel(scene.model, os.path.basename(find_weights(scene.folder.path)), "float32")
    return find_normal_scores(serving_model, best, scene.folder)


def _contrast(scene: Scene) -> Contrast:
    """Returns normal test images, and anomalies if the options or the run say what they are."""
    options = scene.options
    given = {"ood_dataset": options.ood_dataset, "anomaly_class": options.anomaly_class}
    settings = EvaluateOptions(
        model_dir=scene.folder.path, metrics="anomaly", examples=options.examples, **given
    )
    subject = Subject(scene.config, scene.folder, scene.dataset, scene.model, settings)
    if options.ood_dataset is not None:
        contrast = other_dataset(subject)
    elif options.anomaly_class is not None or scene.config.data.anomaly_class is not None:
        contrast = held_out_class(subject)
    else:
        contrast = Contrast(scene.test, scene.test[:0], {})
    return contrast._replace(normal=contrast.normal[: options.examples])


def _name(contrast: Contrast) -> str:
    if "ood_dataset" in contrast.facts:
        return f"anomalies: {contrast.facts['ood_dataset']}"
    return f"anomalies: class {contrast.facts['anomaly_class']}"


def _score(
    serving_model: ServingModel, examples: Examples, *, has_classes: bool = False
) -> np.ndarray:
    """Returns `anomaly_score` of images, float32 [N], given their classes or for unknown ones."""
    predictor = Predictor.from_model(serving_model)
    label = examples.label if has_classes else np.full_like(examples.label, UNKNOWN)
    given = label if predictor.is_conditional else None
    return predictor.score(examples.image, given).anomaly_score


def _scored(scene: Scene, serving_model: ServingModel, examples: Examples) -> ScoredImages:
    image = to_unit(examples.image).numpy()
    names = scene.class_names_of(examples.label) if np.any(examples.label >= 0) else []
    return ScoredImages(
        image,
        scene.reconstruct(image, examples.label),
        _score(serving_model, examples, has_classes=True),
        names or [""] * len(image),
    )


def _without_classes(examples: Examples) -> Examples:
    return Examples(examples.image, np.full_like(examples.label, UNKNOWN))
