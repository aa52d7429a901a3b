"""The arrays that figures of a model show."""

import math

import numpy as np
import pytest
import scipy.stats
from experiment.scene_test import build_scene
from plots.figure_contents import grids_of, labels_of

from vae_lowlevel.distributions.bounds import inverse_soft_clip
from vae_lowlevel.distributions.priors import LOG_VARIANCE_BOUND
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.experiment import model_figures
from vae_lowlevel.plots.latent_plane import Window
from vae_lowlevel.types import to_unit


def tile(grid, row, column, gap=1):
    return grid[row * (5 + gap) :, column * (4 + gap) :][:5, :4]


def two_dimensional(prior="standard", **settings):
    scene = build_scene(latent_dim=2, prior=prior, prior_components=1, **settings)
    if prior == "mixture":
        scene.model.prior.loc.assign([[4.0, -7.0]])
        raw = [
            [inverse_soft_clip(2.0 * math.log(scale), LOG_VARIANCE_BOUND) for scale in (0.5, 2.0)]
        ]
        scene.model.prior.raw_log_variance.assign(raw)
    return scene


@pytest.mark.parametrize(
    ("prior", "quantile"),
    [
        ("standard", scipy.stats.norm(0, 1).ppf),
        ("mixture", scipy.stats.norm([4.0, -7.0], [0.5, 2.0]).ppf),
    ],
)
def test_the_manifold_lies_where_the_prior_does(prior, quantile):
    scene = two_dimensional(prior, options={"manifold_side": 5})
    figure = model_figures.draw_manifold(scene)
    columns, rows = (
        np.array([float(text.replace("\u2212", "-")) for text in texts])
        for texts in labels_of(figure.axes[0])
    )
    expected = quantile(np.stack([(np.arange(5) + 0.5) / 5] * 2, -1)).T
    # Of 10000 draws, the quantiles are known to some hundredths of the scale.
    atol = 0.1 if prior == "mixture" else 0.006
    np.testing.assert_allclose(columns, expected[0], atol=atol)
    np.testing.assert_allclose(rows, expected[1][::-1], atol=atol)
    corner = scene.decode(np.array([columns[0], rows[-1]], np.float32))[..., 0]
    np.testing.assert_allclose(tile(grids_of(figure)[0], 4, 0, gap=0), corner, atol=0.02)


def test_the_density_is_that_of_the_prior():
    scene = two_dimensional("mixture")
    density = model_figures._prior_density(scene, Window(np.array([4.0, -7.0]), 8.0))
    normal = scipy.stats.norm([4.0, -7.0], [0.5, 2.0])
    points = np.stack(np.meshgrid(density.first, density.second), -1)
    np.testing.assert_allclose(density.log_prob, normal.logpdf(points).sum(-1), atol=1e-3)
    area = np.diff(density.first)[0] * np.diff(density.second)[0]
    assert np.exp(density.log_prob).sum() * area == pytest.approx(1.0, abs=1e-3)
    # The entropy of the draws, log(2 pi e s1 s2).
    assert -density.draws.mean() == pytest.approx(normal.entropy().sum(), abs=0.1)


def test_traversals_move_the_units_by_their_kl_from_a_test_image():
    scene = build_scene(options={"example": 4})
    units = scene.units
    figure = model_figures.draw_traversals(scene)
    rows = labels_of(figure.axes[0])[1]
    assert [row.split("\n")[0] for row in rows] == [f"z[{unit}]" for unit in units.shown]
    assert list(units.activity[units.shown]) == sorted(units.activity[units.shown], reverse=True)
    z = scene.latents.z[4].copy()
    z[units.shown[1]] = -3.0
    (grid,) = grids_of(figure)
    np.testing.assert_allclose(tile(grid, 1, 0), scene.decode(z)[..., 0], atol=1e-6)
    animation = model_figures.animate_traversals(scene)
    np.testing.assert_allclose(tile(animation.pictures[0][0], 0, 1), tile(grid, 1, 0), atol=1e-6)
    with pytest.raises(ConfigError, match=r"--example must be below 7, .* got 7"):
        model_figures.draw_traversals(build_scene(options={"example": 7}))


def test_a_traversal_of_another_prior_is_about_its_mean():
    scene = two_dimensional("mixture")
    images, values = model_figures._traverse(scene, 3)
    unit = scene.units.shown[0]
    z = scene.latents.z[0].copy()
    loc, scale = scene.prior_draws.mean(0), scene.prior_draws.std(0)
    np.testing.assert_allclose(loc, [4.0, -7.0], atol=0.06)
    np.testing.assert_allclose(scale, [0.5, 2.0], rtol=0.03)
    z[unit] = loc[unit] + 3.0 * scale[unit]
    assert list(values) == [-3.0, 0.0, 3.0]
    np.testing.assert_allclose(images[0, 2], scene.decode(z), atol=1e-5)


def test_interpolations_begin_and_end_at_reconstructions_of_images_of_two_classes():
    scene = build_scene()
    first, second = model_figures._pairs(scene)
    assert np.all(scene.test.label[first] != scene.test.label[second])
    assert len({*first, *second}) == 2 * len(first)
    grid = grids_of(model_figures.draw_interpolations(scene))[0]
    image = to_unit(scene.test.image).numpy()
    reconstruction = scene.reconstruct(image, scene.test.label)
    for row in (0, 1):
        np.testing.assert_array_equal(tile(grid, row, 0), image[first[0], ..., 0])
        np.testing.assert_array_equal(tile(grid, row, 10), image[second[0], ..., 0])
        np.testing.assert_allclose(tile(grid, row, 1), reconstruction[first[0], ..., 0], atol=1e-5)
        np.testing.assert_allclose(tile(grid, row, 9), reconstruction[second[0], ..., 0], atol=1e-5)
    middle = scene.latents.z[[first[0], second[0]]].mean(0)
    np.testing.assert_allclose(tile(grid, 0, 5), scene.decode(middle)[..., 0], atol=1e-5)


def test_pairs_of_a_conditional_model_are_of_one_class_and_must_exist():
    scene = build_scene(conditional=True)
    first, second = model_figures._pairs(scene)
    np.testing.assert_array_equal(scene.test.label[first], scene.test.label[second])
    with pytest.raises(ConfigError, match="needs two test images, found 2"):
        model_figures._pairs(build_scene(examples=2, conditional=True))


def test_class_means_are_means_of_latents():
    scene = build_scene()
    figure = model_figures.draw_class_means(scene)
    assert labels_of(figure.axes[0])[1] == ["a \u2192 b", "b \u2192 c", "c \u2192 a"]
    mean = scene.latents.z[scene.test.label == 1].mean(0)
    grid = grids_of(figure)[0]
    np.testing.assert_allclose(tile(grid, 1, 0), scene.decode(mean)[..., 0], atol=1e-5)
    np.testing.assert_allclose(tile(grid, 0, 8), scene.decode(mean)[..., 0], atol=1e-5)


def test_samples_of_the_classes_share_their_z():
    scene = build_scene(conditional=True)
    (grid,) = grids_of(model_figures.draw_classes(scene))
    seed = model_figures.fold(scene.seed, "classes")
    z = scene.model.prior().sample(model_figures.SAMPLE_COLUMNS, seed=seed).numpy()
    for row, column in ((0, 0), (2, 0), (1, 5)):
        expected = scene.decode(z[column], row)[..., 0]
        np.testing.assert_allclose(tile(grid, row, column), expected, atol=1e-5)
    assert np.abs(tile(grid, 0, 0) - tile(grid, 2, 0)).max() > 1e-3


def test_temperatures_scale_the_same_draws():
    scene = build_scene()
    _, tempered = grids_of(model_figures.draw_samples(scene))
    z = scene.model.prior().sample(
        model_figures.SAMPLE_COLUMNS, seed=model_figures.fold(scene.seed, "temperatures")
    )
    for row, temperature in enumerate(model_figures.TEMPERATURES):
        expected = scene.decode(temperature * z.numpy())
        np.testing.assert_allclose(tile(tempered, row, 3), expected[3, ..., 0], atol=1e-5)


def test_atoms_are_changes_by_one_unit_alone():
    scene = build_scene(model="sparse_autoencoder")
    code = scene.latents.z
    (grid,) = grids_of(model_figures.draw_units(scene))
    unit = np.argmax(code.mean(0))
    alone = np.zeros([1, 3], np.float32)
    alone[0, unit] = code[:, unit].max()
    change = scene.decode(alone) - scene.decode(0.0 * alone)
    np.testing.assert_allclose(tile(grid, 0, 0), change[0, ..., 0], atol=1e-6)


@pytest.mark.parametrize("settings", [{}, {"model": "sparse_autoencoder"}])
def test_of_several_dimensions_the_plane_shows_the_two_most_used(settings):
    scene = build_scene(**settings)
    axes = model_figures.draw_latent(scene).axes[0]
    pair = sorted(scene.units.order[:2])
    offsets = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(offsets, scene.latents.z[:, pair], rtol=1e-6)
    assert axes.get_xlabel().startswith(f"z[{pair[0]}], ")
    assert len(axes.patches) == (0 if settings else 3)
