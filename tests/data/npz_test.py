from __future__ import annotations

import re

import numpy as np
import pytest

from vae_lowlevel.data.npz import load_npz
from vae_lowlevel.errors import DataError


def pixels(count=6, shape=(4, 5, 3)):
    return np.random.default_rng(count).integers(0, 256, [count, *shape], np.uint8)


@pytest.fixture
def save(tmp_path):
    def save(**arrays):
        path = tmp_path / "images.npz"
        np.savez_compressed(path, **arrays)
        return str(path)

    return save


def test_images_alone_have_no_classes_and_no_test_split(save):
    image = pixels()
    train, test = load_npz(save(image=image))
    np.testing.assert_array_equal(train.image, image)
    assert train.label.tolist() == [-1] * 6
    assert test is None


def test_every_array_is_read(save):
    arrays = {
        "image": pixels(),
        "label": np.arange(6, dtype=np.int64),
        "test_image": pixels(2),
        "test_label": np.array([1, 0], np.uint8),
        "something_else": np.zeros(3),
    }
    train, test = load_npz(save(**arrays))
    assert train.label.dtype == test.label.dtype == np.int32
    assert (train.label.tolist(), test.label.tolist()) == ([0, 1, 2, 3, 4, 5], [1, 0])
    np.testing.assert_array_equal(test.image, arrays["test_image"])


def test_images_without_channels_are_grey(save):
    train, _ = load_npz(save(image=pixels(shape=(4, 5))))
    assert train.image.shape == (6, 4, 5, 1)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x_train": pixels()}, "expected an array named image, found x_train"),
        ({"image": pixels() / 255.0}, "expected image of floats [N, D] .* float64 [6, 4, 5, 3]"),
        ({"image": pixels(shape=(4,))}, "expected image of uint8 .* found uint8 [6, 4]"),
        ({"image": pixels(0)}, "no dimension 0, found uint8 [0, 4, 5, 3]"),
        (
            {"image": pixels(), "label": np.zeros(5, int)},
            "array label: expected labels of integers [6], found int64 [5]",
        ),
        (
            {"image": pixels(), "label": np.zeros(6)},
            "array label: expected labels of integers .* float64 [6]",
        ),
        ({"image": pixels(), "label": np.full(6, -2)}, "expected labels from 0 .* found -2 to -2"),
        (
            {"image": pixels(), "label": np.full(6, 2**31)},
            "expected labels from 0 to 2147483646, or -1 for no class, found 2147483648",
        ),
        (
            {"image": pixels(), "test_image": pixels(shape=(5, 4, 3))},
            "expected test_image of the size of image, 4x5x3, found 5x4x3",
        ),
    ],
)
def test_other_arrays_are_named_with_what_was_expected(save, arrays, message):
    path = save(**arrays)
    pattern = re.escape(path) + ".*" + re.escape(message).replace(r"\.\*", ".*")
    with pytest.raises(DataError, match=pattern):
        load_npz(path)


def test_pickled_objects_are_refused(save):
    path = save(image=np.array([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"plain arrays, found: .* of \|O, not of plain numbers"):
        load_npz(path)


def test_files_that_are_not_archives_are_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.npz: expected a .npz file, found no such file"):
        load_npz(str(tmp_path / "nowhere.npz"))
    (tmp_path / "text.npz").write_text("no archive")
    np.save(tmp_path / "single.npy", pixels())
    np.savez(tmp_path / "cut.npz", image=pixels(200))
    content = (tmp_path / "cut.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(content[: len(content) // 2])
    for name in ("text.npz", "single.npy", "cut.npz"):
        with pytest.raises(DataError, match=re.escape(name)):
            load_npz(str(tmp_path / name))


def test_vectors_are_floats_in_the_unit_interval(save):
    rows = np.random.default_rng(0).random([6, 5])
    train, test = load_npz(
        save(image=rows, test_image=np.float32(rows[:2, :, None, None][:, None, :, 0]))
    )
    assert train.image.dtype == test.image.dtype == np.float32
    np.testing.assert_array_equal(train.image, rows.astype(np.float32).reshape(6, 1, 5, 1))
    np.testing.assert_array_equal(test.image, train.image[:2])
    with pytest.raises(DataError, match=r"in \[0, 1\], found .* to 2.0; scale each column"):
        load_npz(save(image=np.array([[0.0, 2.0]])))
