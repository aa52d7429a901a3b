"""Decodes PNG and JPEG pictures within a signature's graph."""

from __future__ import annotations

import tensorflow as tf

from vae_lowlevel.types import to_unit

PNG_BEGINNING = b"\x89PNG\r\n\x1a\n"
JPEG_BEGINNING = b"\xff\xd8\xff"

# Numbers of channels that both formats can be decoded to.
CHANNELS = (1, 3)


def decode_pictures(
    contents: tf.Tensor, name: str, *, image_shape: tuple[int, int, int]
) -> tf.Tensor:
    """Decodes pictures of one size, and converts between colour and grey as the model requires.

    Transparency is ignored: the colours of a PNG's pixels are used as they are stored. A CMYK JPEG
    is refused, because its inks cannot be converted to RGB without a colour profile.

    The size is read from a picture's header and compared before anything is decoded, so that a
    small file of a huge picture does no harm.

    Args:
        contents: string [B], each the content of a PNG or JPEG file; B may be 0.
        name: for messages: "<signature>: <input>".
        image_shape: (H, W, C) of the model, C 1 or 3.

    Returns:
        float32 [B, H, W, C] in [0, 1]. Anything else than such a picture fails as an invalid
        argument that names the signature, the input and the row. A file that is damaged after its
        header fails with the message of TensorFlow's decoder.
    """

    def decode(row_and_content: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        row, content = row_and_content
        is_png = _begins_with(content, PNG_BEGINNING)
        is_jpeg = _begins_with(content, JPEG_BEGINNING)
        picture = [f"{name}, row", row]
        is_picture = tf.debugging.Assert(
            tf.logical_or(is_png, is_jpeg),
            [*picture, "is not a PNG or JPEG picture; bytes found:", tf.strings.length(content)],
        )
        with tf.control_dependencies([is_picture]):
            size = tf.cond(is_png, lambda: _png_size(content), lambda: _jpeg_size(content, picture))
        is_right_size = tf.debugging.Assert(
            tf.reduce_all(tf.equal(size, image_shape[:2])),
            [*picture, f"must be {image_shape[0]} high and {image_shape[1]} wide, got", size],
        )
        with tf.control_dependencies([is_right_size]):
            decoded = tf.io.decode_image(content, image_shape[2], expand_animations=False)
        return tf.ensure_shape(decoded, image_shape)

    rows = tf.range(tf.shape(contents)[0])
    pictures = tf.map_fn(
        decode, (rows, contents), fn_output_signature=tf.TensorSpec(image_shape, tf.uint8)
    )
    return to_unit(pictures)


def _begins_with(content: tf.Tensor, beginning: bytes) -> tf.Tensor:
    # A text shorter than `len` is compared as a whole; a `pos` after its end would fail.
    return tf.equal(tf.strings.substr(content, 0, len(beginning)), beginning)


def _png_size(content: tf.Tensor) -> tf.Tensor:
    """Returns height and width, int32 [2], by the IHDR chunk; zeros where it is missing."""
    header = tf.strings.substr(content, 0, 24)
    numbers = tf.io.decode_raw(header, tf.uint8, fixed_length=24)[16:]
    width, height = tf.unstack(tf.reshape(tf.cast(numbers, tf.int32), [2, 4]))
    place = tf.constant([1 << 24, 1 << 16, 1 << 8, 1], tf.int32)
    return tf.stack([tf.reduce_sum(height * place), tf.reduce_sum(width * place)])


def _jpeg_size(content: tf.Tensor, picture: list) -> tf.Tensor:
    """Returns height and width, int32 [2]; fails for 4 components, which are inks."""
    shape = tf.io.extract_jpeg_shape(content)
    message = "is a CMYK JPEG; convert it to RGB or grey"
    with tf.control_dependencies([tf.debugging.Assert(shape[2] < 4, [*picture, message])]):
        return tf.identity(shape[:2])
