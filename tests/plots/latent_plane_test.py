import matplotlib
import numpy as np
import pytest
import scipy.stats
from matplotlib.patches import Circle

from vae_lowlevel.plots.latent_plane import ENCLOSED, Density, draw_latent_plane, plane_window
from vae_lowlevel.plots.rendering import render_png
from vae_lowlevel.plots.style import UNKNOWN

NAMES = [f"class {letter}" for letter in "abcdefghij"]


def points_of(figure):
    """Returns coordinates and colors of the points."""
    points = figure.axes[0].collections[0]
    return np.asarray(points.get_offsets()), points.get_facecolors()


def legend_of(figure):
    """Returns {name: color} of the legend."""
    (legend,) = figure.legends
    colors = [matplotlib.colors.to_rgba(handle.get_color()) for handle in legend.legend_handles]
    return dict(zip((text.get_text() for text in legend.get_texts()), colors, strict=True))


def test_points_stand_where_their_coordinates_are_in_the_color_of_their_class():
    z = np.array([[1.0, 0.5], [-2.0, -1.0], [0.0, 3.5]], np.float32)
    figure = draw_latent_plane(z, np.array([0, 3, 0]), NAMES, has_circles=True)
    offsets, colors = points_of(figure)
    np.testing.assert_allclose(offsets, z)
    np.testing.assert_array_equal(colors[0], colors[2])
    assert np.any(colors[0] != colors[1])
    legend = legend_of(figure)
    np.testing.assert_allclose(legend["class a"][:3], colors[0][:3])
    np.testing.assert_allclose(legend["class d"][:3], colors[1][:3])
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] >= 3.5
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z[0]", "z[1]")
    assert axes.get_aspect() == 1.0
    assert figure.get_suptitle() == "Latents of 3 test images"


def test_the_legend_names_the_classes_that_occur():
    figure = draw_latent_plane(np.zeros([3, 2], np.float32), np.array([7, 2, 7]), NAMES)
    assert list(legend_of(figure)) == ["class c", "class h"]


def test_more_than_ten_classes_have_colors_of_their_own():
    names = [str(number) for number in range(25)]
    figure = draw_latent_plane(np.zeros([25, 2], np.float32), np.arange(25), names)
    _, colors = points_of(figure)
    assert len(np.unique(colors, axis=0)) == 25
    assert list(legend_of(figure)) == names


def test_far_points_lie_on_the_border():
    figure = draw_latent_plane(
        np.array([[1e6, -1e6]], np.float32), np.array([1]), NAMES, has_circles=True
    )
    offsets, _ = points_of(figure)
    np.testing.assert_array_equal(offsets, [[8.0, -8.0]])
    assert figure.axes[0].get_xlim()[1] > 8.0


def test_no_points_are_drawn_too():
    figure = draw_latent_plane(np.zeros([0, 2], np.float32), np.zeros([0], int), NAMES)
    assert render_png(figure).startswith(b"\x89PNG")


def test_points_without_class_are_grey_and_called_unknown():
    z = np.array([[0.3, 0.3], [0.1, 0.1]], np.float32)
    figure = draw_latent_plane(z, np.array([-1, 2]), NAMES)
    _, colors = points_of(figure)
    np.testing.assert_allclose(colors[0][:3], matplotlib.colors.to_rgb(UNKNOWN))
    assert list(legend_of(figure)) == ["class c", "unknown"]


def test_data_without_classes_have_no_legend():
    figure = draw_latent_plane(np.zeros([2, 2], np.float32), np.array([-1, -1]), ())
    assert figure.legends == []


def test_the_legend_is_outside_of_the_axes():
    figure = draw_latent_plane(np.zeros([10, 2], np.float32), np.arange(10), NAMES)
    figure.draw_without_rendering()
    axes = figure.axes[0]
    box = figure.legends[0].get_window_extent()
    assert axes.get_window_extent().x1 < box.x0
    assert box.x1 <= figure.bbox.x1


def test_names_are_written_at_the_medians_of_the_classes_where_there_is_room():
    z = np.array([[-2, 0], [-2, 1], [5, 5], [2, 2], [2.01, 2]], np.float32)
    figure = draw_latent_plane(z, np.array([0, 0, 0, 1, 2]), NAMES)
    written = {text.get_text(): text.xy for text in figure.axes[0].texts}
    assert set(written) == {"class a", "class b"}
    np.testing.assert_allclose(written["class a"], [-2.0, 1.0])


def test_the_standard_prior_is_three_circles():
    figure = draw_latent_plane(np.zeros([1, 2]), np.array([0]), NAMES, has_circles=True)
    axes = figure.axes[0]
    circles = [patch for patch in axes.patches if isinstance(patch, Circle)]
    assert [circle.radius for circle in circles] == [1.0, 2.0, 3.0]
    assert all(circle.center == (0.0, 0.0) for circle in circles)
    assert "prior N(0, I):\n1, 2, 3 standard deviations" in legend_of(figure)


def test_contours_of_another_prior_enclose_as_much_as_the_circles():
    # N((1, -1), diag(1.5^2, 0.5^2)): the contours must be ellipses of 1, 2 and 3 half-axes.
    loc, scale = np.array([1.0, -1.0]), np.array([1.5, 0.5])
    prior = scipy.stats.multivariate_normal(loc, np.diag(scale**2))
    points = np.linspace(-6, 6, 241)
    first, second = np.meshgrid(points, points)
    log_prob = prior.logpdf(np.stack([first, second], -1))
    draws = prior.logpdf(prior.rvs(200_000, random_state=0))
    density = Density(points, points, log_prob, draws)
    np.testing.assert_allclose(ENCLOSED, scipy.stats.chi2(2).cdf([1, 4, 9]))
    figure = draw_latent_plane(np.array([[6.0, 0.0]]), np.array([0]), NAMES, density=density)
    (contours,) = (c for c in figure.axes[0].collections if hasattr(c, "levels"))
    paths = [path for path in contours.get_paths() if len(path.vertices)]
    assert len(paths) == 3
    for path, radius in zip(paths, (3.0, 2.0, 1.0), strict=True):
        distance = np.linalg.norm((path.vertices - loc) / scale, axis=-1)
        np.testing.assert_allclose(distance, radius, rtol=0.02)
    assert "prior: contours around\n39, 86, 99% of its draws" in legend_of(figure)


def test_the_window_of_a_standard_prior_is_at_the_origin_within_bounds():
    for z, reach in (([], 3.0), ([[0.0, -4.2]], 5.0), ([[1e6, 0.0]], 8.0)):
        window = plane_window(np.reshape(z, [-1, 2]), is_standard=True)
        assert window.reach == reach
        np.testing.assert_array_equal(window.center, 0.0)


def test_the_window_of_another_prior_is_where_the_points_are():
    z = np.random.default_rng(0).uniform([90.0, -1.0], [110.0, 1.0], size=[5000, 2])
    z[0] = [1e6, 0.0]
    window = plane_window(z, is_standard=False)
    np.testing.assert_allclose(window.center, [100.0, 0.0], atol=0.1)
    assert window.reach == pytest.approx(12.0, rel=0.01)
    axes = draw_latent_plane(z, np.zeros(5000, int), NAMES).figure.axes[0]
    assert np.mean(axes.get_xlim()) == pytest.approx(100.0, abs=0.1)
    np.testing.assert_allclose(points_of(axes.figure)[0][0], [window.center[0] + window.reach, 0])
