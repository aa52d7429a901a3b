import numpy as np
import scipy.stats

from vae_lowlevel.plots.grids import comparison_grid, image_grid, quantile_grid


def test_each_image_stands_in_its_tile():
    images = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1) * np.ones([5, 4, 3, 1]) / 10
    grid = image_grid(images, columns=2)
    assert grid.shape == (3 * 6 - 2, 2 * 5 - 2, 1)
    for index in range(5):
        row, column = divmod(index, 2)
        tile = grid[row * 6 : row * 6 + 4, column * 5 : column * 5 + 3]
        np.testing.assert_array_equal(tile, round(index / 10 * 255))
    assert (grid[4:6] == 255).all()
    assert (grid[12:, 5:] == 255).all()


def test_pairs_stand_one_above_the_other():
    top = np.full([3, 2, 2, 3], 0.2, np.float32)
    grid = comparison_grid(top, top + 0.4, columns=2)
    assert grid.shape == (4 * 4 - 2, 2 * 4 - 2, 3)
    assert [grid[row, 0, 0] for row in (0, 4, 8, 12)] == [51, 153, 51, 153]
    assert grid[8, 5, 0] == 255


def test_the_plane_is_cut_at_equal_quantiles():
    points = quantile_grid(15).reshape(15, 15, 2)
    expected = scipy.stats.norm.ppf((np.arange(15) + 0.5) / 15)
    np.testing.assert_allclose(points[0, :, 0], expected, atol=1e-5)
    np.testing.assert_allclose(points[:, 0, 1], expected[::-1], atol=1e-5)


def test_the_plane_is_cut_at_the_quantiles_of_draws():
    # A hundred and one draws each, evenly on [5, 7] and [-4, 0], in another order each.
    generator = np.random.default_rng(0)
    draws = np.stack(
        [generator.permutation(np.linspace(*ends, 101)) for ends in [(5, 7), (-4, 0)]], -1
    )
    points = quantile_grid(4, draws).reshape(4, 4, 2)
    np.testing.assert_allclose(points[2, :, 0], [5.25, 5.75, 6.25, 6.75], rtol=1e-6)
    np.testing.assert_allclose(points[:, 1, 1], [-0.5, -1.5, -2.5, -3.5], rtol=1e-6)
