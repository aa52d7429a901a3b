"""What the figures of a model and its training need: arrays of a scene, passed to `plots`."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from vae_lowlevel.errors import ConfigError, RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.scene import Scene
from vae_lowlevel.objectives.input_noise import build_corruption
from vae_lowlevel.plots import curves, image_figures, latent_plane, sparse_figures, traversals
from vae_lowlevel.plots.animation import Animation
from vae_lowlevel.plots.grids import quantile_grid
from vae_lowlevel.randomness import BatchNoise, fold, make_seed
from vae_lowlevel.serving.latent_paths import class_means, interpolate_latents
from vae_lowlevel.types import Batch, to_unit

PAIRS = 20
SAMPLE_ROWS, SAMPLE_COLUMNS = 5, 12
TEMPERATURES = (0.4, 0.6, 0.8, 1.0, 1.2)
MOST_CLASSES = 20
TRAVERSAL_STEPS, ANIMATION_STEPS = 11, 13
INTERPOLATED_PAIRS, INTERPOLATION_STEPS = 5, 9
MOST_CLASS_PAIRS = 10
# Points along a side of the plane at which a prior's density is computed.
DENSITY_SIDE = 160
# Settings that must agree where distortions are compared.
COMPARED = ("dataset", "pad_to", "binarize", "likelihood")


def draw_reconstructions(scene: Scene) -> Figure:
    """Draws the first test images, given their classes."""
    test = scene.dataset.test[:PAIRS]
    image = to_unit(test.image).numpy()
    reconstruction = scene.reconstruct(image, test.label)
    names = scene.class_names_of(test.label)
    return image_figures.draw_reconstructions(image, reconstruction, names)


def draw_denoising(scene: Scene) -> Figure:
    """Draws the first test images, corrupted before the encoder sees them."""
    test = scene.dataset.test[:PAIRS]
    noise = BatchNoise(fold(make_seed(0), "figures"), 0, len(test), len(test))
    clean = Batch(to_unit(test.image), tf.constant(test.label))
    batch = build_corruption(*scene.corruption)(clean, noise)
    corrupted = batch.encoder_input.numpy()
    reconstruction = scene.reconstruct(corrupted, test.label)
    names = scene.class_names_of(test.label)
    return image_figures.draw_reconstructions(
        batch.image.numpy(), reconstruction, names, corrupted=corrupted
    )


def draw_samples(scene: Scene) -> Figure:
    """Draws samples; of a conditional model, of the classes 0, 1, ... in turn."""
    model, prior = scene.model, scene.model.prior()
    count = SAMPLE_ROWS * SAMPLE_COLUMNS
    z = prior.sample(count, seed=fold(scene.seed, "samples")).numpy()
    label = np.arange(SAMPLE_COLUMNS) % max(model.num_classes, 1)
    samples = scene.decode(z.reshape(SAMPLE_ROWS, SAMPLE_COLUMNS, -1), label)
    seed = fold(scene.seed, "temperatures")
    tempered = [
        model.tempered(prior, tf.constant(temperature)).sample(SAMPLE_COLUMNS, seed=seed).numpy()
        for temperature in TEMPERATURES
    ]
    names = scene.class_names_of(label) if model.num_classes else []
    return image_figures.draw_samples(
        samples, scene.decode(np.stack(tempered), label), TEMPERATURES, names
    )


def draw_classes(scene: Scene) -> Figure:
    """Draws the same draws of z for each class of a conditional model."""
    names = scene.dataset.class_names[:MOST_CLASSES]
    z = scene.model.prior().sample(SAMPLE_COLUMNS, seed=fold(scene.seed, "classes")).numpy()
    z = np.broadcast_to(z, [len(names), *z.shape])
    images = scene.decode(z, np.arange(len(names))[:, None])
    return image_figures.draw_class_samples(images, names, scene.model.num_classes)


def draw_manifold(scene: Scene) -> Figure:
    """Decodes the plane at quantiles of the prior: known ones of N(0, I), else of draws."""
    side = scene.options.manifold_side
    z = quantile_grid(side, scene.prior_draws).reshape(side, side, 2)
    return image_figures.draw_manifold(scene.decode(z), z[0, :, 0], z[:, 0, 1])


def draw_latent(scene: Scene) -> Figure:
    """Draws the latents of two dimensions; of several, those of the two most used units."""
    model, units = scene.model, scene.units
    is_plane = model.latent_dim == 2
    pair = [0, 1] if is_plane else sorted(units.order[:2].tolist())
    labels = [f"z[{unit}]" if is_plane else units.label(unit).replace("\n", ", ") for unit in pair]
    z = scene.latents.z[:, pair]
    is_normal = model.has_prior and model.prior.is_gaussian
    density = None
    # Of several dimensions, the density of two of them has no closed form.
    if model.has_prior and is_plane and not is_normal:
        density = _prior_density(scene, latent_plane.plane_window(z, is_standard=False))
    return latent_plane.draw_latent_plane(
        z,
        scene.test.label,
        scene.dataset.class_names,
        (labels[0], labels[1]),
        has_circles=is_normal,
        density=density,
    )


def draw_traversals(scene: Scene) -> Figure:
    """Draws how the image changes with each active unit."""
    return traversals.draw_traversals(*_traverse(scene, TRAVERSAL_STEPS), scene.units)


def animate_traversals(scene: Scene) -> Animation:
    """Returns the traversals as an animation."""
    return traversals.animate_traversals(*_traverse(scene, ANIMATION_STEPS), scene.units)


def draw_interpolations(scene: Scene) -> Figure:
    """Draws ways between pairs of test images: of one class for a conditional model."""
    first, second = _pairs(scene)
    images = [to_unit(scene.test.image[rows]).numpy() for rows in (first, second)]
    label = scene.test.label[first]
    ends = [scene.encode(image, label).z for image in images]
    ways = [
        scene.decode(interpolate_latents(*ends, INTERPOLATION_STEPS, path), label[:, None])
        for path in ("linear", "spherical")
    ]
    return image_figures.draw_interpolations(ways[0], ways[1], (images[0], images[1]))


def draw_class_means(scene: Scene) -> Figure:
    """Draws the ways from the mean latent of each class to that of the next one."""
    names = scene.dataset.class_names
    found, means = class_means(scene.latents.z, scene.test.label)
    # In a circle; two classes have one way.
    count = min(len(found) if len(found) > 2 else 1, MOST_CLASS_PAIRS)
    ends = [(number, (number + 1) % len(found)) for number in range(count)]
    start, end = np.array(ends).T
    z = interpolate_latents(means[start], means[end], INTERPOLATION_STEPS)
    pairs = [(names[found[a]], names[found[b]]) for a, b in ends]
    return image_figures.draw_class_means(scene.decode(z), pairs)


def draw_curves(scene: Scene) -> Figure:
    """Draws the course of the training."""
    is_summed = scene.config.objective.pixel_reduction == "sum"
    unit = curves.NATS if is_summed else "error per pixel + weighted terms"
    return curves.draw_curves(scene.history, scene.best_epoch, unit)


def draw_rate_distortion(scene: Scene) -> Figure:
    """Draws this run and others by the rate and the distortion of their test images.

    Raises:
        ConfigError: a run is of other data or has another likelihood.
        RunError: a run cannot be read, or it has no test metrics.
    """
    folders = [scene.folder, *(RunFolder(path) for path in scene.options.other_runs)]
    own, points = scene.config.to_flat(), []
    for folder in folders:
        config, test = folder.read_config(), folder.read_metrics().get("test", {})
        flags = config.to_flat()
        other = [name for name in COMPARED if flags[name] != own[name]]
        if other:
            raise ConfigError(
                f"--runs: {folder.path} has --{other[0]}={flags[other[0]]}, but "
                f"{scene.folder.path} has {own[other[0]]}: their distortions do not compare; "
                "leave it out"
            )
        if not isinstance(test.get("rate"), float) or not isinstance(test.get("distortion"), float):
            raise RunError(
                f"{folder.path}: expected the test metrics rate and distortion of a finished run "
                f"with a prior, found none in {folder.metrics}; let it finish, or leave it out"
            )
        weight = config.objective.kl_weight
        points.append(curves.RunPoint(config.name, test["rate"], test["distortion"], weight))
    return curves.draw_rate_distortion(points)


def draw_units(scene: Scene) -> Figure:
    """Draws what each unit of a sparse code adds to the image, the most active units first."""
    activity = _activity(scene).mean(0)
    shown = np.argsort(-activity, kind="stable")[: sparse_figures.MOST_UNITS]
    largest = np.diag(scene.latents.z.max(0))[shown]
    nothing = scene.decode(np.zeros_like(largest[:1]))
    changes = scene.decode(largest) - nothing
    return sparse_figures.draw_units(changes, activity[shown], len(activity))


def draw_codes(scene: Scene) -> Figure:
    """Draws how active the units of a sparse code are."""
    return sparse_figures.draw_codes(_activity(scene), scene.config.objective.sparsity_target)


def _activity(scene: Scene) -> np.ndarray:
    """Returns the activity of each unit for each test image, float32 [N, D] in [0, 1]."""
    return scene.model.activity(tf.constant(scene.latents.z)).numpy()


def _traverse(scene: Scene, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images of all shown units, [U, T, H, W, C], and the values, [T].

    Raises:
        ConfigError: there is no such test image.
    """
    number, test = scene.options.example, scene.dataset.test
    if number >= len(test):
        raise ConfigError(f"--example must be below {len(test)}, the test images, got {number}")
    example = test[number : number + 1]
    start = scene.encode(to_unit(example.image).numpy(), example.label).z[0]
    values = np.linspace(-traversals.REACH, traversals.REACH, steps)
    draws = scene.prior_draws
    loc = np.zeros_like(start) if draws is None else draws.mean(0)
    scale = np.ones_like(start) if draws is None else draws.std(0)
    z = traversals.traversal_points(start, scene.units.shown, values, loc, scale)
    return scene.decode(z, int(example.label[0])), values


def _pairs(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of test images, int [P] each.

    The images of a pair are of one class for a conditional model, and else of two, where there are.
    """
    label = scene.test.label
    first, second, free = [], [], list(range(len(label)))
    while free and len(first) < INTERPOLATED_PAIRS:
        number = free.pop(0)
        is_same = scene.model.num_classes > 0
        partners = [other for other in free if (label[other] == label[number]) == is_same]
        if not partners and not is_same:
            partners = free
        if partners:
            free.remove(partners[0])
            first.append(number)
            second.append(partners[0])
    if not first:
        raise ConfigError(
            f"--what=interpolations needs two test images, found {len(label)}; raise --examples"
        )
    return np.array(first), np.array(second)


def _prior_density(scene: Scene, window: latent_plane.Window) -> latent_plane.Density:
    prior, side = scene.model.prior(), np.linspace(-window.reach, window.reach, DENSITY_SIDE)
    first, second = np.meshgrid(*(center + side for center in window.center))
    z = np.stack([first.ravel(), second.ravel()], -1).astype(np.float32)
    compute = tf.function(
        prior.log_prob, input_signature=[tf.TensorSpec([None, 2])], autograph=False
    )
    starts = range(0, len(z), DENSITY_SIDE * 10)
    grid = np.concatenate([compute(z[start : start + DENSITY_SIDE * 10]) for start in starts])
    draws = compute(scene.prior_draws[: DENSITY_SIDE * 10]).numpy()
    return latent_plane.Density(first[0], second[:, 0], grid.reshape(first.shape), draws)
