import numpy as np

from vae_lowlevel.plots.latent_plane import LEGEND, MARGIN, PALETTE, SIZE, draw_latent_plane


def centre_of(picture, colour, columns=slice(0, SIZE)):
    row, column = np.nonzero((picture[:, columns] == colour).all(-1))
    return row.mean(), column.mean()


def test_points_stand_where_their_coordinates_are():
    z = np.array([[1.0, 0.5], [-2.0, -1.0]], np.float32)
    picture = draw_latent_plane(z, np.array([0, 3]))
    assert picture.shape == (SIZE, SIZE + LEGEND, 3)
    side = SIZE - 2 * MARGIN
    for point, label in zip(z, (0, 3), strict=True):
        row, column = centre_of(picture, PALETTE[label])
        assert abs(column - (MARGIN + (point[0] + 2) / 4 * side)) < 2
        assert abs(row - (MARGIN + (2 - point[1]) / 4 * side)) < 2


def test_the_legend_names_the_classes_that_occur():
    picture = draw_latent_plane(np.zeros([3, 2], np.float32), np.array([7, 2, 7]))
    legend = picture[:, SIZE:]
    present = [label for label in range(10) if (legend == PALETTE[label]).all(-1).any()]
    assert present == [2, 7]


def test_far_points_and_no_points_are_drawn():
    far = draw_latent_plane(np.array([[1e6, -1e6]], np.float32), np.array([1]))
    row, column = centre_of(far, PALETTE[1])
    assert row > SIZE - MARGIN - 2
    assert column > SIZE - MARGIN - 2
    assert draw_latent_plane(np.zeros([0, 2], np.float32), np.zeros([0], int)).shape == far.shape


def test_points_without_class_are_grey_and_not_in_the_legend():
    picture = draw_latent_plane(np.array([[0.3, 0.3]], np.float32), np.array([-1]))
    assert (picture[:, SIZE + 14 :] == 255).all()
