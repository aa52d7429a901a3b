import matplotlib
import numpy as np

from vae_lowlevel.plots.latent_plane import draw_latent_plane
from vae_lowlevel.plots.png import render_png

NAMES = [f"class {letter}" for letter in "abcdefghij"]


def points_of(figure):
    """Returns coordinates and colors of the points."""
    points = figure.axes[0].collections[0]
    return np.asarray(points.get_offsets()), points.get_facecolors()


def legend_of(figure):
    """Returns {name: color} of the legend."""
    legend = figure.axes[0].get_legend()
    colors = [handle.get_facecolors()[0] for handle in legend.legend_handles]
    return dict(zip((text.get_text() for text in legend.get_texts()), colors, strict=True))


def test_points_stand_where_their_coordinates_are_in_the_color_of_their_class():
    z = np.array([[1.0, 0.5], [-2.0, -1.0], [0.0, 3.5]], np.float32)
    figure = draw_latent_plane(z, np.array([0, 3, 0]), NAMES)
    offsets, colors = points_of(figure)
    np.testing.assert_allclose(offsets, z)
    np.testing.assert_array_equal(colors[0], colors[2])
    assert np.any(colors[0] != colors[1])
    legend = legend_of(figure)
    np.testing.assert_allclose(legend["class a"], colors[0])
    np.testing.assert_allclose(legend["class d"], colors[1])
    axes = figure.axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] >= 3.5
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("z[0]", "z[1]")
    assert "Test images" in axes.get_title()


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
    figure = draw_latent_plane(np.array([[1e6, -1e6]], np.float32), np.array([1]), NAMES)
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
    np.testing.assert_allclose(colors[0], matplotlib.colors.to_rgba("lightgrey"))
    assert list(legend_of(figure)) == ["class c", "unknown"]


def test_data_without_classes_have_no_legend():
    figure = draw_latent_plane(np.zeros([2, 2], np.float32), np.array([-1, -1]), ())
    assert figure.axes[0].get_legend() is None
