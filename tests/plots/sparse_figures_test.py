import numpy as np
from plots.figure_contents import grids_of, labels_of, texts_of

from vae_lowlevel.plots import sparse_figures


def test_atoms_keep_their_sign_in_colors_symmetric_about_zero():
    changes = np.random.default_rng(0).normal(size=[12, 4, 4, 1]).astype(np.float32)
    figure = sparse_figures.draw_units(changes, np.linspace(0.5, 0.1, 12), 20)
    first, second = grids_of(figure)
    np.testing.assert_array_equal(first[:, :4], changes[0, ..., 0])
    np.testing.assert_array_equal(second[:, 5:9], changes[11, ..., 0])
    assert np.isnan(second[:, 10:]).all()
    lowest, highest = figure.axes[0].images[0].get_clim()
    assert -lowest == highest == np.abs(changes).max()
    assert figure.axes[0].images[0].get_cmap()(0.5)[:3] > (0.9, 0.9, 0.9)
    assert labels_of(figure.axes[0])[0][0] == "50.0%"
    assert "The first 12 of 20 units" in texts_of(figure)[1]


def test_activities_are_counted_and_compared_with_the_target():
    activity = np.random.default_rng(0).beta(0.3, 3.0, size=[200, 6])
    figure = sparse_figures.draw_codes(activity, 0.05)
    histogram, means = figure.axes
    heights = np.array([bar.get_height() for bar in histogram.patches])
    expected, _ = np.histogram(activity, bins=50, range=(0.0, 1.0))
    np.testing.assert_allclose(heights, 100 * expected / activity.size)
    bars = [bar.get_height() for bar in means.patches]
    np.testing.assert_allclose(bars, np.sort(activity.mean(0))[::-1])
    assert list(means.lines[0].get_ydata()) == [0.05, 0.05]
    assert f"mean activity {activity.mean():.4f}, target 0.05" in figure.get_suptitle()
