"""What watches a run, from its settings: terminal, TensorBoard, progress picture and warnings."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.evaluation.units import UnitMonitor
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.start import PreparedRun
from vae_lowlevel.plots.grids import GAP, comparison_grid, image_grid
from vae_lowlevel.plots.png import encode_png
from vae_lowlevel.randomness import fold, make_seed
from vae_lowlevel.training.collapse import CollapseWarning
from vae_lowlevel.training.gradients import make_gradient_measure
from vae_lowlevel.training.observers import Observer
from vae_lowlevel.training.pictures import SHOWN_IMAGES, Drawn, ProgressPicture, ShownImages
from vae_lowlevel.training.profile import Profile
from vae_lowlevel.training.reporter import Reporter
from vae_lowlevel.training.summaries import Summaries
from vae_lowlevel.training.workers import Workers
from vae_lowlevel.types import Dataset, is_vector_shape

# Images on which the units of the model are looked at after each epoch.
UNIT_IMAGES = 256

# Rows of the batch whose gradients are measured.
GRADIENT_ROWS = 64

# Images in a row of the progress picture.
COLUMNS = 8


def build_observers(
    config: Config,
    folder: RunFolder,
    dataset: Dataset,
    run: PreparedRun,
    workers: Workers,
    *,
    shows_progress: bool = True,
) -> list[Observer]:
    """Returns what watches the run, for the chief of its workers.

    Args:
        config: of the run.
        folder: of the run.
        dataset: whose validation images are shown; training images where there are none.
        run: what is trained.
        workers: that train together; the others have no observers.
        shows_progress: whether the terminal is told of blocks and epochs.
    """
    shown = dataset.validation if len(dataset.validation) else dataset.train
    model = run.state.evaluated_model
    seed = fold(make_seed(config.training.seed), "summaries")
    images = ShownImages(model, shown[:SHOWN_IMAGES], seed)
    is_relu = config.model.activation == "relu"
    units = UnitMonitor(model, shown[:UNIT_IMAGES], tf.nn.relu if is_relu else None)

    def latents(step: int) -> dict[str, np.ndarray]:
        return {f"latents/{name}": values for name, values in units(step).latents.items()}

    histograms = [latents]
    if config.training.gradient_histograms:
        histograms.append(
            make_gradient_measure(
                run.state,
                run.objective,
                assembly.build_training_transform(config),
                dataset.train[: min(GRADIENT_ROWS, config.training.batch_size)],
                workers.strategy,
                config.training.seed,
            )
        )
    observers: list[Observer] = [Summaries(folder.summaries, images, image_grid, histograms)]
    if config.run.figures and not is_vector_shape(dataset.image_shape):
        observers.append(
            ProgressPicture(folder.figure("progress"), images, draw_progress, run.total_steps)
        )
    if shows_progress:
        observers.append(Reporter(run.total_steps, run.feed.steps_per_epoch))
    objective = config.objective
    observers.append(
        CollapseWarning(
            lambda step: units(step).rates,
            lambda step: units(step).dead,
            {"kl_weight": objective.kl_weight, "capacity": objective.capacity},
        )
    )
    steps = config.training.profiled()
    return observers if steps is None else [*observers, Profile(folder.summaries, steps)]


def draw_progress(inputs: np.ndarray, drawn: Drawn) -> bytes:
    """Draws images above their reconstructions, and beneath them samples, as a PNG file.

    Args:
        inputs: float32 [N, H, W, C] in [0, 1].
        drawn: what the model makes of them.
    """
    picture = comparison_grid(inputs, drawn.reconstructions, COLUMNS)
    if drawn.samples is not None:
        samples = image_grid(drawn.samples, COLUMNS)
        width = max(picture.shape[1], samples.shape[1])
        gap = np.full([3 * GAP, width, picture.shape[2]], 255, np.uint8)
        parts = [
            np.pad(part, [(0, 0), (0, width - part.shape[1]), (0, 0)], constant_values=255)
            for part in (picture, samples)
        ]
        picture = np.concatenate([parts[0], gap, parts[1]])
    return encode_png(picture)
