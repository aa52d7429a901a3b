import numpy as np
import pytest
from plots.figure_contents import grids_of, labels_of, texts_of

from vae_lowlevel.plots import traversals
from vae_lowlevel.plots.traversals import Units


def units(kl, is_active):
    return Units(np.array(kl), True, np.array(is_active), 0.01)


USED = units([0.5, 0.001, 2.0, 1.0], [True, False, True, True])


def test_one_unit_moves_and_the_others_stay():
    start = np.array([0.1, 0.2, 0.3], np.float32)
    values = np.array([-3.0, 0.0, 3.0])
    loc, scale = np.array([0.0, 0.0, 10.0]), np.array([1.0, 1.0, 2.0])
    z = traversals.traversal_points(start, np.array([2, 0]), values, loc, scale)
    assert z.dtype == np.float32
    np.testing.assert_allclose(z[0], [[0.1, 0.2, 4.0], [0.1, 0.2, 10.0], [0.1, 0.2, 16.0]])
    np.testing.assert_allclose(z[1], [[-3.0, 0.2, 0.3], [0.0, 0.2, 0.3], [3.0, 0.2, 0.3]])


def test_rows_are_the_active_units_by_their_kl():
    assert USED.shown.tolist() == [2, 3, 0]
    assert USED.order.tolist() == [2, 3, 0, 1]
    images = np.random.default_rng(0).uniform(size=[3, 2, 4, 4, 1])
    figure = traversals.draw_traversals(images, np.array([-3.0, 3.0]), USED)
    columns, rows = labels_of(figure.axes[0])
    assert rows == ["z[2]\nKL 2.00 nats", "z[3]\nKL 1.00 nats", "z[0]\nKL 0.50 nats"]
    assert columns == ["\u22123.0", "3.0"]
    np.testing.assert_array_equal(grids_of(figure)[0][5:9, 5:], images[1, 1, ..., 0])
    said = texts_of(figure)[1]
    assert "3 of 4 units are active" in said
    assert "without information on the image: z[1]." in said


def test_a_collapsed_posterior_is_said_and_all_units_are_shown():
    collapsed = units([0.001, 0.002], [False, False])
    assert collapsed.shown.tolist() == [1, 0]
    assert "Warning: none of the 2 units is active" in collapsed.describe()


def test_without_terms_of_the_kl_units_are_sorted_by_their_variance():
    by_variance = Units(np.array([0.2, 0.9]), False, np.array([True, True]), 0.01)
    assert by_variance.label(1) == "z[1]\nvariance 0.90"
    assert "sorted by the variance of its values" in by_variance.describe()
    assert "Not active" not in by_variance.describe()


@pytest.mark.parametrize("count", [20, 25])
def test_at_most_twenty_units_are_shown(count):
    many = units(np.arange(count), np.ones(count, bool))
    assert len(many.shown) == 20
    assert ("The first 20 are shown" in many.describe()) == (count > 20)


def test_an_animation_goes_there_and_back():
    # Unit u at step t: an image of grey level (t + 10 u) / 100.
    level = np.arange(4)[None, :] + 10 * np.arange(3)[:, None]
    images = np.broadcast_to(level[..., None, None, None] / 100, [3, 4, 4, 4, 1])
    animation = traversals.animate_traversals(images, np.linspace(-3, 3, 4), USED)
    assert len(animation.pictures) == 6
    found = [grid[0][0, 0] for grid in animation.pictures]
    np.testing.assert_allclose(found, np.array([0, 1, 2, 3, 2, 1]) / 100)
    np.testing.assert_allclose([grid[0][0, 10] for grid in animation.pictures[:2]], [0.2, 0.21])
