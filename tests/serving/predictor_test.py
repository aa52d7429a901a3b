import numpy as np
import pytest

from vae_lowlevel.experiment.loading import load_model, load_predictor
from vae_lowlevel.serving.array_checks import unit_images
from vae_lowlevel.serving.predictor import CHUNK


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return load_predictor(tiny_run)


@pytest.fixture(scope="module")
def model(tiny_run):
    return load_model(tiny_run)


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).random([2 * CHUNK + 3, 12, 12, 1], np.float32)


@pytest.mark.parametrize("count", [0, 1, CHUNK, CHUNK + 1, 2 * CHUNK + 3])
def test_any_length_gives_what_the_model_gives(predictor, model, images, count):
    encoded = predictor.encode(images[:count])
    assert encoded.z_mean.shape == encoded.z_log_var.shape == (count, 3)
    if count:
        posterior = model.encode(images[:count])
        np.testing.assert_allclose(encoded.z_mean, posterior.mean(), atol=1e-5)
        np.testing.assert_allclose(np.exp(encoded.z_log_var), posterior.variance(), rtol=1e-4)
    reconstruction = predictor.reconstruct(images[:count])
    assert reconstruction.dtype == np.float32
    assert reconstruction.shape == (count, 12, 12, 1)
    np.testing.assert_allclose(predictor.decode(encoded.z_mean), reconstruction, atol=1e-6)


def test_a_row_does_not_depend_on_how_many_there_are(predictor, images):
    everything = predictor.encode(images).z_mean
    np.testing.assert_array_equal(predictor.encode(images[:1]).z_mean, everything[:1])
    np.testing.assert_array_equal(predictor.encode(images[:67]).z_mean, everything[:67])


def test_samples_begin_alike_whatever_their_count(predictor):
    many = predictor.sample(CHUNK + 2, seed=3)
    assert many.shape == (CHUNK + 2, 12, 12, 1)
    np.testing.assert_array_equal(predictor.sample(2, seed=3), many[:2])
    np.testing.assert_array_equal(predictor.sample(CHUNK + 1, seed=3), many[: CHUNK + 1])
    assert predictor.sample(0).shape == (0, 12, 12, 1)
    assert np.abs(predictor.sample(2, seed=4) - many[:2]).max() > 1e-3
    assert np.abs(many[0] - many[1]).max() > 1e-3


def test_samples_are_those_of_the_signature(predictor, model):
    words = np.array([[row, 3] for row in range(4)], np.int32)
    z = np.stack([model.prior().sample(seed=seed) for seed in words])
    np.testing.assert_allclose(predictor.sample(4, seed=3), predictor.decode(z), atol=1e-6)


def test_interpolation_is_straight_between_posterior_means(predictor, images):
    line = predictor.interpolate(images[:2], images[2:4], steps=5)
    assert line.shape == (2, 5, 12, 12, 1)
    np.testing.assert_allclose(line[:, 0], predictor.reconstruct(images[:2]), atol=1e-6)
    np.testing.assert_allclose(line[:, -1], predictor.reconstruct(images[2:4]), atol=1e-6)
    start, end = predictor.encode(images[:2]).z_mean, predictor.encode(images[2:4]).z_mean
    np.testing.assert_allclose(line[:, 1], predictor.decode(0.75 * start + 0.25 * end), atol=1e-6)
    assert predictor.interpolate(images[:0], images[:0], steps=2).shape == (0, 2, 12, 12, 1)


def test_8_bit_images_are_floats_times_255(predictor):
    pixels = np.random.default_rng(1).integers(0, 256, [3, 12, 12, 1], np.uint8)
    wanted = predictor.encode(pixels.astype(np.float64) / 255.0)
    np.testing.assert_allclose(predictor.encode(pixels).z_mean, wanted.z_mean, atol=1e-6)
    np.testing.assert_array_equal(
        predictor.encode(pixels[..., 0]).z_mean, predictor.encode(pixels).z_mean
    )


def test_the_shape_is_known(predictor):
    assert (predictor.image_shape, predictor.latent_dim) == ((12, 12, 1), 3)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros([2, 12, 13, 1]), r"\[N, 12, 12, 1\] or \[N, 12, 12\], got \[2, 12, 13, 1\]"),
        (np.zeros([12, 12, 1]), r"got \[12, 12, 1\]"),
        (np.zeros([2, 144]), r"got \[2, 144\]"),
        (np.float32(0), r"got \[\]"),
        (np.zeros([2, 12, 12, 1], np.int64), "uint8 in .* got int64"),
        (np.zeros([2, 12, 12, 1], bool), "uint8 in .* got bool"),
        (np.full([2, 12, 12, 1], 255.0), r"in \[0, 1\] .* from 255.0 to 255.0"),
        (np.full([2, 12, 12, 1], -1e-9), r"in \[0, 1\]"),
        (np.full([2, 12, 12, 1], np.nan), r"in \[0, 1\]"),
    ],
)
def test_wrong_images_are_refused(predictor, array, message):
    for method in (predictor.encode, predictor.reconstruct):
        with pytest.raises(ValueError, match=message):
            method(array)


def test_images_of_several_channels_need_them_all():
    with pytest.raises(ValueError, match=r"shape \[N, 4, 4, 3\], got \[2, 4, 4\]"):
        unit_images(np.zeros([2, 4, 4]), (4, 4, 3))


@pytest.mark.parametrize(
    ("z", "message"),
    [
        (np.zeros([2, 4]), r"z must have shape \[N, 3\], got \[2, 4\]"),
        (np.zeros([3]), r"got \[3\]"),
        (np.zeros([2, 3], np.int32), "floats, got int32"),
        (np.full([2, 3], np.inf), "finite"),
        (np.full([2, 3], 1e300), "finite"),
    ],
)
def test_wrong_latents_are_refused(predictor, z, message):
    with pytest.raises(ValueError, match=message):
        predictor.decode(z)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda predictor, x: predictor.sample(-1), "count must be at least 0, got -1"),
        (lambda predictor, x: predictor.sample(1, seed=-1), "seed must be in .*, got -1"),
        (
            lambda predictor, x: predictor.sample(1, seed=2**31),
            "seed must be in .*, got 2147483648",
        ),
        (
            lambda predictor, x: predictor.interpolate(x[:2], x[:2], 1),
            "steps must be at least 2, got 1",
        ),
        (lambda predictor, x: predictor.interpolate(x[:2], x[:3], 4), "equal lengths, got 2 and 3"),
    ],
)
def test_wrong_numbers_are_refused(predictor, images, call, message):
    with pytest.raises(ValueError, match=message):
        call(predictor, images)


def test_latents_too_large_for_the_network_are_one_line(predictor):
    with pytest.raises(ValueError, match=r"decode: the output image is NaN.* for this z") as caught:
        predictor.decode(np.array([[1.0, 2.0, 3.0], [3e38, -3e38, 3e38]], np.float32))
    assert "\n" not in str(caught.value)
