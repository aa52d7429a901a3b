import io

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from vae_lowlevel.serving.pictures import decode_pictures

GREY, COLOUR = (12, 10, 1), (12, 10, 3)


def decode(pictures, image_shape=GREY):
    name = "encode_bytes: image_bytes"
    function = tf.function(
        lambda contents: decode_pictures(contents, name, image_shape=image_shape)
    )
    return function(tf.constant(pictures, tf.string)).numpy()


def pixels(image_shape):
    # Smooth, so that JPEG changes it little.
    height, width, channels = image_shape
    ramp = np.add.outer(10 * np.arange(height), 8 * np.arange(width))
    return np.stack([ramp + 10 * channel for channel in range(channels)], -1).astype(np.uint8)


def png(image):
    return tf.io.encode_png(image).numpy()


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=100).numpy()


@pytest.mark.parametrize("image_shape", [GREY, COLOUR])
def test_png_gives_its_pixels_and_jpeg_nearly(image_shape):
    image = pixels(image_shape)
    found = decode([png(image), jpeg(image)], image_shape)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], image / 255.0, atol=1e-6)
    np.testing.assert_allclose(found[1], image / 255.0, atol=0.03)


def test_grey_and_colour_are_converted_to_the_channels_of_the_model():
    grey = pixels(GREY)
    found = decode([png(grey)], COLOUR)
    np.testing.assert_allclose(found[0], np.repeat(grey / 255.0, 3, -1), atol=1e-6)
    found = decode([png(np.repeat(grey, 3, -1))], GREY)
    np.testing.assert_allclose(found[0], grey / 255.0, atol=1.01 / 255.0)


@pytest.mark.parametrize("image_shape", [GREY, COLOUR])
def test_transparency_is_ignored(image_shape):
    image = pixels(image_shape)
    alpha = np.random.default_rng(0).integers(0, 256, [12, 10, 1], np.uint8)
    assert alpha.min() < 5, "a blend with any background would change the colours"
    found = decode([png(np.concatenate([image, alpha], -1))], image_shape)
    np.testing.assert_allclose(found[0], image / 255.0, atol=1e-6)


@pytest.mark.parametrize("image_shape", [GREY, COLOUR])
def test_cmyk_is_refused_by_row(image_shape):
    file = io.BytesIO()
    PIL.Image.fromarray(pixels(COLOUR)).convert("CMYK").save(file, "JPEG")
    message = r"encode_bytes: image_bytes, row\] \[1\] \[is a CMYK JPEG; convert it to RGB"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode([jpeg(pixels(image_shape)), file.getvalue()], image_shape)


def test_no_pictures():
    assert decode([]).shape == (0, 12, 10, 1)


@pytest.mark.parametrize("content", [b"", b"x", b"GIF89a and more", b"\x89PNX", b"\xff\xd9"])
def test_other_files_than_pictures_are_refused_by_row(content):
    message = r"encode_bytes: image_bytes, row\] \[1\] \[is not a PNG or JPEG"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode([png(pixels(GREY)), content])


@pytest.mark.parametrize("encode", [png, jpeg])
@pytest.mark.parametrize("image_shape", [(10, 12, 1), (12, 11, 1)])
def test_another_size_is_refused_by_row(encode, image_shape):
    height, width, _ = image_shape
    message = rf"row\] \[0\] \[must be 12 high and 10 wide, got\] \[{height} {width}\]"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode([encode(pixels(image_shape))])


def test_a_small_file_of_a_huge_picture_is_refused_by_its_header():
    header = (30000).to_bytes(4, "big") + (20000).to_bytes(4, "big")
    content = png(pixels(GREY))
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"got\] \[20000 30000\]"):
        decode([content[:16] + header + content[24:]])


def test_damaged_pictures_are_refused():
    for content in (png(pixels(GREY))[:-30], png(pixels(GREY))[:20], jpeg(pixels(GREY))[:60]):
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode([content])
