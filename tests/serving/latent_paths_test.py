import numpy as np
import pytest

from vae_lowlevel.serving.latent_paths import interpolate_latents


@pytest.fixture
def ends():
    random = np.random.default_rng(0)
    return random.normal(size=(4, 7)), random.normal(size=(4, 7))


@pytest.mark.parametrize("path", ["linear", "spherical"])
def test_both_ends_are_on_the_path(ends, path):
    points = interpolate_latents(*ends, steps=5, path=path)
    assert points.shape == (4, 5, 7)
    np.testing.assert_allclose(points[:, 0], ends[0], atol=1e-6)
    np.testing.assert_allclose(points[:, -1], ends[1], atol=1e-6)


def test_a_line_has_equal_steps(ends):
    steps = np.diff(interpolate_latents(*ends, steps=6), axis=1)
    np.testing.assert_allclose(steps, steps[:, :1].repeat(5, 1), atol=1e-6)


def test_an_arc_keeps_the_length_and_turns_by_equal_angles(ends):
    start, end = (end / np.linalg.norm(end, axis=-1, keepdims=True) for end in ends)
    points = np.float64(interpolate_latents(start, end, steps=6, path="spherical"))
    np.testing.assert_allclose(np.linalg.norm(points, axis=-1), 1.0, atol=1e-6)
    cosines = np.sum(points[:, 1:] * points[:, :-1], -1)
    whole = np.arccos(np.sum(start * end, -1))
    np.testing.assert_allclose(np.arccos(cosines), (whole / 5)[:, None].repeat(5, 1), atol=1e-3)


@pytest.mark.parametrize("factor", [2.0, -2.0, 0.0])
def test_ends_on_one_line_through_zero_are_joined_straight(ends, factor):
    start = ends[0]
    points = interpolate_latents(start, factor * start, steps=3, path="spherical")
    np.testing.assert_allclose(points[:, 1], (1 + factor) / 2 * start, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 1}, "steps must be at least 2, got 1"),
        ({"path": "cubic"}, "path must be one of linear, spherical, got 'cubic'"),
        ({"end": np.zeros([3, 7])}, r"the same shape, got \[4, 7\] and \[3, 7\]"),
    ],
)
def test_wrong_arguments_are_refused(ends, change, message):
    arguments = {"start": ends[0], "end": ends[1], "steps": 3, **change}
    with pytest.raises(ValueError, match=message):
        interpolate_latents(**arguments)
