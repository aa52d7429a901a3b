import numpy as np
from plots.figure_contents import grids_of, labels_of, texts_of

from vae_lowlevel.plots import image_figures
from vae_lowlevel.plots.sheet import Panel


def images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(size=shape).astype(np.float32)


def tiles(grid, shape, *, gap=1):
    """Cuts a grid into its images: [R, S, H, W]."""
    rows, columns, height, width = shape
    return np.stack(
        [
            [
                grid[r * (height + gap) :, c * (width + gap) :][:height, :width]
                for c in range(columns)
            ]
            for r in range(rows)
        ]
    )


def test_the_error_map_is_the_difference_of_what_is_above_it():
    x, y = images(5, 6, 4, 1), images(5, 6, 4, 1, seed=1)
    figure = image_figures.draw_reconstructions(x, y, list("abcde"), columns=3)
    shown, errors, last, last_errors = grids_of(figure)
    for grid, error, rows in ((shown, errors, slice(0, 3)), (last, last_errors, slice(3, 5))):
        count = len(x[rows])
        top, bottom = tiles(grid, (2, 3, 6, 4))
        np.testing.assert_array_equal(top[:count], x[rows, ..., 0])
        np.testing.assert_array_equal(bottom[:count], y[rows, ..., 0])
        (drawn,) = tiles(error, (1, 3, 6, 4))
        np.testing.assert_allclose(drawn[:count], np.abs(top - bottom)[:count], rtol=1e-6)
    # The empty place: white, and without a value.
    assert (tiles(last, (2, 3, 6, 4))[:, 2] == 1.0).all()
    assert np.isnan(tiles(last_errors, (1, 3, 6, 4))[:, 2]).all()
    assert labels_of(figure.axes[0])[0] == ["a", "b", "c"]
    assert f"20 images: {np.square(x - y).mean():.4f}".replace("20", "5") in texts_of(figure)[1]


def test_errors_of_colors_are_means_over_the_channels_and_share_one_scale():
    x, y = images(2, 3, 3, 3), images(2, 3, 3, 3, seed=1)
    expected = np.abs(x - y).sum(-1, keepdims=True) / 3
    np.testing.assert_allclose(image_figures.error_map(x, y), expected, rtol=1e-6)
    highest = image_figures.error_colors(expected).highest
    assert highest - 0.1 < expected.max() <= highest
    assert image_figures.error_colors(np.zeros([1, 2, 2, 1])).highest == 0.1


def test_corrupted_images_stand_between_the_originals_and_the_reconstructions():
    x, noisy, y = (images(2, 6, 4, 1, seed=seed) for seed in range(3))
    figure = image_figures.draw_reconstructions(x, y, [], corrupted=noisy)
    rows = tiles(grids_of(figure)[0], (3, 2, 6, 4))
    np.testing.assert_array_equal(rows, np.stack([x, noisy, y])[..., 0])
    assert labels_of(figure.axes[0])[1] == ["original", "corrupted", "reconstruction"]


def test_temperatures_are_named_at_their_rows():
    samples, tempered = images(2, 3, 5, 4, 1), images(2, 3, 5, 4, 1, seed=1)
    figure = image_figures.draw_samples(samples, tempered, [0.4, 1.2])
    for grid, expected in zip(grids_of(figure), (samples, tempered), strict=True):
        np.testing.assert_array_equal(tiles(grid, (2, 3, 5, 4)), expected[..., 0])
    assert labels_of(figure.axes[1])[1] == ["0.4", "1.2"]


def test_the_plane_has_no_gaps_and_its_coordinates_at_its_sides():
    plane = images(3, 3, 4, 4, 1)
    figure = image_figures.draw_manifold(plane, np.array([-1.0, 0, 1]), np.array([2.0, 0, -2]))
    np.testing.assert_array_equal(grids_of(figure)[0], Panel(plane, has_gaps=False).compose())
    np.testing.assert_array_equal(grids_of(figure)[0][4:8, 8:], plane[1, 2, ..., 0])
    assert labels_of(figure.axes[0]) == [
        ["\u22121.00", "0.00", "1.00"],
        ["2.00", "0.00", "\u22122.00"],
    ]
    assert figure.axes[0].get_xlabel().startswith("z[0]")


def test_of_many_coordinates_some_are_written():
    values = np.linspace(-2, 2, 31)
    figure = image_figures.draw_manifold(images(31, 31, 2, 2, 1), values, values[::-1])
    written = [label for label in labels_of(figure.axes[0])[0] if label]
    assert len(written) <= 15
    assert "0.00" in written


def test_classes_are_rows_and_the_rest_is_counted():
    grid = images(2, 3, 5, 4, 1)
    figure = image_figures.draw_class_samples(grid, ["cat", "dog"], 7)
    assert labels_of(figure.axes[0])[1] == ["cat", "dog"]
    assert "The first 2 of 7 classes" in texts_of(figure)[1]
    np.testing.assert_array_equal(tiles(grids_of(figure)[0], (2, 3, 5, 4)), grid[..., 0])


def test_interpolations_have_the_images_at_their_ends():
    linear, spherical = images(2, 4, 5, 4, 1), images(2, 4, 5, 4, 1, seed=1)
    ends = images(2, 5, 4, 1, seed=2), images(2, 5, 4, 1, seed=3)
    figure = image_figures.draw_interpolations(linear, spherical, ends)
    for number, grid in enumerate(grids_of(figure)):
        rows = tiles(grid, (2, 6, 5, 4))
        for row, way in zip(rows, (linear, spherical), strict=True):
            np.testing.assert_array_equal(row[0], ends[0][number, ..., 0])
            np.testing.assert_array_equal(row[1:5], way[number, ..., 0])
            np.testing.assert_array_equal(row[5], ends[1][number, ..., 0])
    assert labels_of(figure.axes[0])[0] == [
        "image a",
        "t = 0",
        "t = 0.333",
        "t = 0.667",
        "t = 1",
        "image b",
    ]


def test_ways_between_classes_are_named():
    figure = image_figures.draw_class_means(images(1, 3, 5, 4, 1), [("cat", "dog")])
    assert labels_of(figure.axes[0]) == [["t = 0", "t = 0.5", "t = 1"], ["cat \u2192 dog"]]
