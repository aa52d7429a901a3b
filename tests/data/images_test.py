import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.data import images
from vae_lowlevel.data.images import read_images
from vae_lowlevel.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 256, [3, 4, 5, 1], np.uint8)


def test_npy_is_read_as_it_is(tmp_path):
    path = str(tmp_path / "x.npy")
    np.save(path, IMAGES / 255.0)
    np.testing.assert_array_equal(read_images(path), IMAGES / 255.0)


@pytest.mark.parametrize("arrays", [{"any": IMAGES}, {"label": np.zeros(3), "image": IMAGES}])
def test_npz_gives_its_only_array_or_the_one_named_image(tmp_path, arrays):
    path = str(tmp_path / "x.npz")
    np.savez(path, **arrays)
    np.testing.assert_array_equal(read_images(path), IMAGES)


@pytest.mark.parametrize("channels", [1, 3])
def test_png_is_one_image(tmp_path, channels):
    path = str(tmp_path / "x.png")
    image = np.random.default_rng(1).integers(0, 256, [4, 5, channels], np.uint8)
    tf.io.write_file(path, tf.io.encode_png(image))
    np.testing.assert_array_equal(read_images(path), image[None])


def test_npz_of_several_unnamed_arrays_is_refused(tmp_path):
    path = str(tmp_path / "x.npz")
    np.savez(path, a=IMAGES, b=IMAGES)
    with pytest.raises(DataError, match=r"or one named image, found \['a', 'b'\]"):
        read_images(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".png"])
def test_damaged_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"\x93NUMPY is not what follows")
    with pytest.raises(DataError, match=rf"x{suffix}: expected an? (PNG|{suffix}) .*, found: "):
        read_images(str(path))


def test_pickled_objects_are_refused(tmp_path):
    path = str(tmp_path / "x.npy")
    np.save(path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"expected an \.npy file of plain arrays"):
        read_images(path)


@pytest.mark.parametrize("name", ["missing.npy", "folder.npy"])
def test_missing_files_are_refused(tmp_path, name):
    (tmp_path / "folder.npy").mkdir()
    with pytest.raises(DataError, match="no such file"):
        read_images(str(tmp_path / name))


def test_other_kinds_of_file_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"x.jpg: expected a file ending in \.npy, \.npz, \.png"):
        read_images(str(tmp_path / "x.jpg"))


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of(height, width):
    """A PNG file with a valid header of any size, and no pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b""))


def jpeg_of(height, width):
    """The first bytes of a JPEG file: an application's segment, filling, and a frame header."""
    frame = struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes(9)
    return b"\xff\xd8\xff\xe0\x00\x04ab\xff\xff\xff\xc2" + frame


@pytest.mark.parametrize(
    "content",
    [png_of(100_000, 100_000), png_of(2**31 - 1, 1), png_of(20_000, 20_000), jpeg_of(65535, 65535)],
)
def test_images_that_claim_more_than_128_megapixels_are_refused_undecoded(
    tmp_path, monkeypatch, content
):
    (tmp_path / "x.png").write_bytes(content)
    monkeypatch.setattr(tf.io, "decode_image", None)
    with pytest.raises(DataError, match=rf"x\.png: .*found: \d+ x \d+ pixels, more than {2**27}"):
        read_images(str(tmp_path / "x.png"))


@pytest.mark.parametrize("encode", [tf.io.encode_png, tf.io.encode_jpeg])
def test_sizes_are_read_as_they_are_written(encode):
    content = encode(np.zeros([5, 9, 3], np.uint8)).numpy()
    assert images._picture_size(content) == (5, 9)
    for progressive in (True, False):
        content = tf.io.encode_jpeg(np.zeros([7, 3, 3], np.uint8), progressive=progressive)
        assert images._picture_size(content.numpy()) == (7, 3)


@pytest.mark.parametrize(
    "content", [b"GIF89a", b"BM", b"", jpeg_of(1, 1)[:14], b"\x89PNG\r\n\x1a\n"]
)
def test_other_contents_are_refused(tmp_path, content):
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.png: expected a PNG or JPEG image, found: "):
        read_images(str(tmp_path / "x.png"))


def test_a_file_too_large_for_its_format_is_not_read(tmp_path):
    with open(tmp_path / "x.png", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"x\.png: .*found: 1099511627776 bytes, more than"):
        read_images(str(tmp_path / "x.png"))
