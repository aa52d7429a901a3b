"""Draws the figures of a run into its folder, those that `--what` names or that apply to it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.visualize import VisualizeOptions
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment import anomaly_figures, model_figures
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.loading import load_best
from vae_lowlevel.experiment.scene import Scene
from vae_lowlevel.plots.animation import Animation, encode_gif
from vae_lowlevel.plots.rendering import render_png, render_svg
from vae_lowlevel.training.devices import configure_runtime, deterministic_operations
from vae_lowlevel.types import Dataset, Model, is_vector_shape

# Test images of the figures at the end of a run, which should not take long.
EXAMPLES_AT_END = 2000


class Need(NamedTuple):
    """What a figure needs of a scene.

    Attributes:
        what: in words.
        is_met: whether a scene has it.
        found: what a scene has instead, in words.
    """

    what: str
    is_met: Callable[[Scene], bool]
    found: Callable[[Scene], str]


class FigureKind(NamedTuple):
    """A figure that can be drawn of some scenes.

    Attributes:
        at_end: whether it is drawn at the end of every run to which it applies.
        draw: draws it.
        needs: what it needs.
        animate: returns its animation; None where nothing moves.
    """

    at_end: bool
    draw: Callable[[Scene], Figure]
    needs: Sequence[Need] = ()
    animate: Callable[[Scene], Animation] | None = None


def _model_of(scene: Scene) -> str:
    return f"--model={scene.config.model.model}"


def _class_count(scene: Scene) -> int:
    label = scene.dataset.test.label
    return len(np.unique(label[label >= 0]))


IMAGES = Need(
    "a model of images",
    lambda scene: not is_vector_shape(scene.model.image_shape),
    lambda scene: "one of vectors",
)
PRIOR = Need("a model with a prior p(z)", lambda scene: scene.model.has_prior, _model_of)
SPARSE = Need("a sparse autoencoder", lambda scene: not scene.model.has_prior, _model_of)
PLANE = Need(
    "two latent dimensions",
    lambda scene: scene.model.latent_dim == 2,
    lambda scene: f"{scene.model.latent_dim}",
)
DIMENSIONS = PLANE._replace(
    what="at least two latent dimensions", is_met=lambda scene: scene.model.latent_dim > 1
)
CONDITIONAL = Need(
    "--conditional=true",
    lambda scene: scene.model.num_classes > 0,
    lambda scene: "a model without classes",
)
UNCONDITIONAL = Need(
    "a model that takes no classes",
    lambda scene: scene.model.num_classes == 0,
    lambda scene: "--conditional=true",
)
CLASSES = Need(
    "test images of two classes",
    lambda scene: _class_count(scene) > 1,
    lambda scene: f"{_class_count(scene)}",
)
CORRUPTION = Need(
    "a run with --corruption",
    lambda scene: scene.corruption[0] != "none",
    lambda scene: f"--corruption={scene.config.objective.corruption}",
)
HISTORY = Need(
    "a finished run",
    lambda scene: len(scene.history) > 0,
    lambda scene: "no metrics.json",
)
RUNS = Need(
    "--runs=<run folders>, separated by commas",
    lambda scene: len(scene.options.other_runs) > 0,
    lambda scene: "none",
)

# By name, as in `config.visualize.FIGURES`; drawn in this order.
FIGURES = {
    "reconstructions": FigureKind(True, model_figures.draw_reconstructions, [IMAGES]),
    "denoising": FigureKind(True, model_figures.draw_denoising, [IMAGES, CORRUPTION]),
    "samples": FigureKind(True, model_figures.draw_samples, [IMAGES, PRIOR]),
    "classes": FigureKind(True, model_figures.draw_classes, [IMAGES, CONDITIONAL]),
    "manifold": FigureKind(
        True, model_figures.draw_manifold, [IMAGES, PRIOR, PLANE, UNCONDITIONAL]
    ),
    "latent": FigureKind(True, model_figures.draw_latent, [DIMENSIONS]),
    "traversals": FigureKind(
        True, model_figures.draw_traversals, [IMAGES, PRIOR], model_figures.animate_traversals
    ),
    "interpolations": FigureKind(False, model_figures.draw_interpolations, [IMAGES, PRIOR]),
    "class_means": FigureKind(
        False, model_figures.draw_class_means, [IMAGES, PRIOR, UNCONDITIONAL, CLASSES]
    ),
    "curves": FigureKind(True, model_figures.draw_curves, [HISTORY]),
    "rate_distortion": FigureKind(False, model_figures.draw_rate_distortion, [PRIOR, RUNS]),
    "anomaly_scores": FigureKind(False, anomaly_figures.draw_scores),
    "anomaly_extremes": FigureKind(False, anomaly_figures.draw_extremes, [IMAGES]),
    "anomaly_maps": FigureKind(False, anomaly_figures.draw_maps, [IMAGES]),
    "units": FigureKind(True, model_figures.draw_units, [IMAGES, SPARSE]),
    "codes": FigureKind(True, model_figures.draw_codes, [SPARSE]),
}


def visualize_run(
    config: Config, folder: RunFolder, options: VisualizeOptions
) -> dict[str, list[str]]:
    """Draws what the options name, as PNG and SVG files, and as a GIF file what moves.

    Args:
        config: of the run, for one device.
        folder: its folder.
        options: what is drawn, and how.

    Returns:
        The files written, by the name of the figure.

    Raises:
        ConfigError: a figure that is named does not apply to the run, or a setting does not fit.
        DataError: the data are missing or damaged.
        RunError: a run cannot be read.
    """
    configure_runtime(config.training)
    with deterministic_operations(config.training.deterministic):
        metrics = folder.read_metrics()
        dataset, model = load_dataset(config.data), load_best(folder).model
        scene = _scene(config, folder, dataset, model, metrics, options)
        if options.named:
            for name in options.named:
                _check_needs(name, scene)
            names = options.named
        else:
            names = tuple(name for name in FIGURES if not _missing(name, scene))
        return _draw(scene, names, is_complete=True)


def draw_run(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    model: Model,
    metrics: Mapping[str, Any],
) -> dict[str, list[str]]:
    """Draws the figures of the end of a run, as PNG files.

    Args:
        config: of the run.
        folder: its folder.
        dataset: its data.
        model: with the best weights, float32.
        metrics: `history` and `best_epoch`; empty for a run that is not finished.

    Returns:
        The files written, by the name of the figure.
    """
    options = VisualizeOptions(model_dir=folder.path, examples=EXAMPLES_AT_END)
    scene = _scene(config, folder, dataset, model, metrics, options)
    names = [name for name, kind in FIGURES.items() if kind.at_end and not _missing(name, scene)]
    return _draw(scene, names, is_complete=False)


def discard_figures(folder: RunFolder) -> None:
    """Deletes all figures: those of earlier weights would pass for figures of the new ones."""
    for name in FIGURES:
        for ending in ("png", "svg", "gif"):
            path = folder.figure(name, ending)
            if files.is_file(path):
                files.delete(path)


def draw_denoising(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    model: Model,
    corruption: tuple[str, float],
) -> dict[str, list[str]]:
    """Draws the figure `denoising` for another corruption than that of the run.

    Args:
        config: of the run.
        folder: its folder.
        dataset: its data.
        model: with the best weights, float32.
        corruption: its name and its strength.

    Returns:
        The files written; none for a model of vectors.
    """
    options = VisualizeOptions(model_dir=folder.path)
    scene = _scene(config, folder, dataset, model, {}, options)
    scene = dataclasses.replace(scene, corruption=corruption)
    names = [] if _missing("denoising", scene) else ["denoising"]
    return _draw(scene, names, is_complete=False)


def _scene(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    model: Model,
    metrics: Mapping[str, Any],
    options: VisualizeOptions,
) -> Scene:
    objective = config.objective
    return Scene(
        config=config,
        folder=folder,
        dataset=dataset,
        model=model,
        history=metrics.get("history", ()),
        best_epoch=metrics.get("best_epoch", 0),
        options=options,
        corruption=(objective.corruption, objective.corruption_strength),
    )


def _missing(name: str, scene: Scene) -> list[Need]:
    return [need for need in FIGURES[name].needs if not need.is_met(scene)]


def _check_needs(name: str, scene: Scene) -> None:
    """Refuses a figure that does not apply."""
    for need in _missing(name, scene):
        others = [other for other in FIGURES if not _missing(other, scene)]
        raise ConfigError(
            f"--what={name} needs {need.what}, but {scene.folder.path} has {need.found(scene)}; "
            f"what applies to it: {', '.join(others)}"
        )


def _draw(scene: Scene, names: Sequence[str], *, is_complete: bool) -> dict[str, list[str]]:
    """Draws figures and writes them; `is_complete` adds SVG files and animations."""
    files.make_folder(scene.folder.figures)
    paths = {}
    for name in names:
        kind = FIGURES[name]
        figure = kind.draw(scene)
        contents = {"png": render_png(figure)}
        if is_complete:
            contents["svg"] = render_svg(figure)
            if kind.animate is not None:
                contents["gif"] = encode_gif(list(kind.animate(scene).frames()))
        paths[name] = [scene.folder.figure(name, ending) for ending in contents]
        for path, content in zip(paths[name], contents.values(), strict=True):
            files.write(path, content)
    return paths
