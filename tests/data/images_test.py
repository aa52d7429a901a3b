import numpy as np
import pytest
import tensorflow as tf

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
