import math

import numpy as np
import pytest

from vae_lowlevel.data import shapes

ELLIPSE, SQUARE, HEART = range(3)
SIZES = (8, 28, 33, 64)
# Areas in units of the squared radius of the circle around the shape. The heart: a square of side
# s and two half discs of diameter s; its tip is `centre` away from the centre of mass.
S = math.sqrt(0.5)
CENTRE = (S * S * 0.5 + math.pi * S * S / 4 * (0.75 + 1 / (3 * math.pi))) / (
    S * S + math.pi * S * S / 4
)
AREAS = (math.pi * 0.5, 2.0, (S * S + math.pi * S * S / 4) / CENTRE**2)


def brightness(examples):
    return examples.image[..., 0].astype(np.float64) / 255


def moments(examples):
    """Returns mass and centroid (column, row) of each image, in pixels."""
    image = brightness(examples)
    pixel = np.arange(image.shape[1]) + 0.5
    mass = image.sum((1, 2))
    return mass, (image.sum(1) @ pixel) / mass, (image.sum(2) @ pixel) / mass


def place(factor, size):
    margin = size / 4 + 1
    return margin + factor * (size - 2 * margin)


@pytest.mark.parametrize("size", SIZES)
def test_dtypes_shapes_and_ranges(size):
    examples = shapes.draw_shapes(600, size, 3)
    assert examples.image.shape == (600, size, size, 1)
    assert examples.image.dtype == np.uint8
    assert examples.label.dtype == np.int32
    assert examples.factors.dtype == np.float32
    assert examples.factors.shape == (600, len(shapes.FACTOR_NAMES))
    np.testing.assert_array_equal(examples.label, examples.factors[:, 0])
    ranges = [(0, 2), (0.5, 1), (0, 2 * math.pi), (0, 1), (0, 1)]
    for column, (low, high) in zip(examples.factors.T, ranges, strict=True):
        assert low <= column.min() <= low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) <= column.max() <= high + 1e-6


def test_factors_are_uniform_and_independent():
    factors = shapes.draw_shapes(3000, 8, 0).factors
    assert np.bincount(factors[:, 0].astype(int)) == pytest.approx([1000] * 3, abs=100)
    ranges = [(0.5, 1), (0, 2 * math.pi), (0, 1), (0, 1)]
    for column, (low, high) in zip(factors.T[1:], ranges, strict=True):
        assert column.mean() == pytest.approx((low + high) / 2, abs=0.03 * (high - low))
    correlation = np.corrcoef(factors.T) - np.eye(5)
    assert np.abs(correlation).max() < 0.08


@pytest.mark.parametrize("size", SIZES)
def test_the_centroid_tells_x_and_y(size):
    examples = shapes.draw_shapes(600, size, 1)
    _, column, row = moments(examples)
    tolerance = 0.2 if size == 8 else 0.1
    np.testing.assert_allclose(column, place(examples.factors[:, 3], size), atol=tolerance)
    np.testing.assert_allclose(row, place(examples.factors[:, 4], size), atol=tolerance)


@pytest.mark.parametrize("size", SIZES[1:])
def test_the_area_tells_the_scale(size):
    examples = shapes.draw_shapes(600, size, 1)
    mass, _, _ = moments(examples)
    scale = np.sqrt(mass / np.take(AREAS, examples.label)) / (size / 4)
    np.testing.assert_allclose(scale, examples.factors[:, 1], rtol=0.5 / size)


@pytest.mark.parametrize("size", SIZES[1:])
def test_second_moments_tell_the_orientation_of_an_ellipse(size):
    examples = shapes.draw_shapes(600, size, 1)
    examples = examples[examples.label == ELLIPSE]
    _, column, row = moments(examples)
    pixel = np.arange(size) + 0.5
    right = (pixel - column[:, None])[:, None, :]
    down = (pixel - row[:, None])[:, :, None]
    image = brightness(examples)
    across = (image * right * down).sum((1, 2))
    difference = (image * (right**2 - down**2)).sum((1, 2))
    angle = np.arctan2(2 * across, difference) / 2
    error = (angle - examples.factors[:, 2] + math.pi / 2) % math.pi - math.pi / 2
    assert np.abs(error).max() < 0.1


def inside(label, u, v):
    """Whether a point is in the shape, by its definition rather than by a distance."""
    if label == ELLIPSE:
        return u**2 + (2 * v) ** 2 < 1
    if label == SQUARE:
        return (np.abs(u) < S) & (np.abs(v) < S)
    side, height = np.abs(u) * CENTRE, (1 - v) * CENTRE
    square = side + np.abs(height - 0.5) < 0.5
    return square | (np.hypot(side - 0.25, height - 0.75) < S / 2)


@pytest.mark.parametrize("size", SIZES)
def test_pixels_are_the_part_of_them_that_the_shape_covers(size):
    """Against 12 x 12 points a pixel: shape, orientation, position and soft edge at once."""
    fine = 12
    examples = shapes.draw_shapes(100, size, 7)
    point = (np.arange(size * fine) + 0.5) / fine
    for image, factors in zip(brightness(examples), examples.factors, strict=True):
        label, scale, orientation, x, y = factors.astype(np.float64)
        right = (point - place(x, size)) / (size / 4 * scale)
        down = (point[:, None] - place(y, size)) / (size / 4 * scale)
        turned = (right + 1j * down) * np.exp(-1j * orientation)
        covered = inside(label, turned.real, turned.imag)
        covered = covered.reshape(size, fine, size, fine).mean((1, 3))
        error = np.abs(image - covered)
        # A pixel centred on a right-angled corner is a quarter covered, but at distance 0.
        assert error.max() < 0.26
        assert error.sum() / covered.sum() < (0.35 if size == 8 else 0.05)


@pytest.mark.parametrize("size", SIZES)
def test_shapes_are_complete_and_their_edges_soft(size):
    image = shapes.draw_shapes(3000, size, 2).image[..., 0]
    border = np.ones([size, size], bool)
    border[1:-1, 1:-1] = False
    assert not image[:, border].any()
    assert (image.max((1, 2)) > 127).all()
    # An edge of half a pixel's softness has about as many grey pixels as the outline is long.
    grey = ((image > 0) & (image < 255)).sum((1, 2))
    assert (grey >= size / 4).all()
    assert len(np.unique(image)) > 200


@pytest.mark.parametrize("label", [ELLIPSE, SQUARE, HEART])
def test_a_shape_centred_on_a_pixel_has_no_hole(monkeypatch, label):
    factors = np.array([[label, 1, 0, 0.5, 0.5]], np.float32)
    monkeypatch.setattr(shapes, "_draw_factors", lambda count, seed: factors)
    image = shapes.draw_shapes(1, 33, 0).image[0, ..., 0]
    assert (image[15:18, 15:18] == 255).all()


def test_an_image_depends_on_size_seed_and_index_alone():
    many = shapes.draw_shapes(500, 33, 4)
    few = shapes.draw_shapes(101, 33, 4)
    np.testing.assert_array_equal(few.image, many.image[:101])
    np.testing.assert_array_equal(few.factors, many.factors[:101])
    other = shapes.draw_shapes(101, 33, 5)
    assert (other.factors[:, 1:] != few.factors[:, 1:]).all()


def test_no_images():
    examples = shapes.draw_shapes(0, 8, 0)
    assert len(examples) == 0
    assert examples.image.shape == (0, 8, 8, 1)
    assert examples.factors.shape == (0, 5)
