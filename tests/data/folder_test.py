from __future__ import annotations

import re

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.data.folder import load_folder
from vae_lowlevel.errors import DataError


def write(path, image, quality=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = np.asarray(image, np.uint8)
    encoded = tf.io.encode_png(image) if quality is None else tf.io.encode_jpeg(image, quality=100)
    path.write_bytes(encoded.numpy())


def flat(value, height=8, width=8, channels=1):
    return np.full([height, width, channels], value)


def test_subfolders_are_classes_in_the_order_of_their_names(tmp_path):
    write(tmp_path / "dog" / "b.png", flat(20))
    write(tmp_path / "dog" / "a.PNG", flat(10))
    write(tmp_path / "cat" / "z.png", flat(30))
    (tmp_path / "cat" / "notes.txt").write_text("not an image")
    (tmp_path / "cat" / ".hidden.png").write_text("not an image")
    (tmp_path / ".thumbnails").mkdir()
    train, test, names = load_folder(str(tmp_path), 8)
    assert names == ("cat", "dog")
    assert train.label.tolist() == [0, 1, 1]
    assert train.image[:, 0, 0, 0].tolist() == [30, 10, 20]
    assert train.image.shape == (3, 8, 8, 1)
    assert train.image.dtype == np.uint8
    assert train.label.dtype == np.int32
    assert test is None


def test_train_and_test_are_splits_with_the_classes_of_train(tmp_path):
    write(tmp_path / "train" / "cat" / "a.png", flat(1))
    write(tmp_path / "train" / "dog" / "a.png", flat(2))
    write(tmp_path / "test" / "dog" / "a.png", flat(3))
    train, test, names = load_folder(str(tmp_path), 8)
    assert (names, train.label.tolist(), test.label.tolist()) == (("cat", "dog"), [0, 1], [1])


def test_train_without_test_is_the_training_split(tmp_path):
    write(tmp_path / "train" / "cat" / "a.png", flat(1))
    write(tmp_path / "train" / "dog" / "a.png", flat(2))
    (tmp_path / ".cache").mkdir()
    (tmp_path / "labels.txt").write_text("not an image")
    train, test, names = load_folder(str(tmp_path), 8)
    assert (names, train.label.tolist(), test) == (("cat", "dog"), [0, 1], None)


@pytest.mark.parametrize("with_test", [True, False])
def test_other_folders_next_to_train_are_refused(tmp_path, with_test):
    for name in ("train", "val", "cat", *(["test"] if with_test else [])):
        write(tmp_path / name / "a.png", flat(1))
    root = re.escape(str(tmp_path))
    with pytest.raises(
        DataError, match=rf"^{root}: .*next to train/, found cat, val; move .*rename"
    ):
        load_folder(str(tmp_path), 8)


@pytest.mark.parametrize(
    "files", [["test/a.png"], ["test/cat/a.png"], ["cat/a.png", "test/cat/b.png"]]
)
def test_a_test_split_without_train_is_refused(tmp_path, files):
    for file in files:
        write(tmp_path / file, flat(1))
    root = re.escape(str(tmp_path))
    with pytest.raises(DataError, match=rf"^{root}: expected train/ next to test/.*{root}/train"):
        load_folder(str(tmp_path), 8)


def test_without_train_a_class_may_be_called_test(tmp_path):
    write(tmp_path / "quiz" / "a.png", flat(1))
    write(tmp_path / "test" / "a.png", flat(2))
    train, test, names = load_folder(str(tmp_path), 8)
    assert (names, train.label.tolist(), test) == (("quiz", "test"), [0, 1], None)


def test_images_in_the_folder_itself_have_no_class(tmp_path):
    write(tmp_path / "a.png", flat(1))
    train, _, names = load_folder(str(tmp_path), 8)
    assert (names, train.label.tolist()) == ((), [-1])


def test_one_colour_image_makes_all_rgb(tmp_path):
    write(tmp_path / "a.png", flat(7))
    write(tmp_path / "b.png", np.broadcast_to([1, 2, 3], [8, 8, 3]))
    write(tmp_path / "c.png", np.broadcast_to([4, 5, 6, 255], [8, 8, 4]))
    write(tmp_path / "d.png", np.broadcast_to([9, 0], [8, 8, 2]))
    train, _, _ = load_folder(str(tmp_path), 8)
    assert train.image.shape == (4, 8, 8, 3)
    assert train.image[:, 3, 3].tolist() == [[7, 7, 7], [1, 2, 3], [4, 5, 6], [9, 9, 9]]


def test_jpeg_is_read(tmp_path):
    write(tmp_path / "a.jpg", flat(100, 16, 16, 3), quality=100)
    train, _, _ = load_folder(str(tmp_path), 16)
    np.testing.assert_allclose(train.image.astype(int), 100, atol=2)


def test_the_central_square_is_scaled_by_averaging(tmp_path):
    # Left and right quarters are cut off; of a checkerboard of single pixels grey is left.
    image = np.full([16, 32, 1], 255)
    image[:, 8:24, 0] = 200 * (np.indices([16, 16]).sum(0) % 2)
    write(tmp_path / "a.png", image)
    train, _, _ = load_folder(str(tmp_path), 8)
    np.testing.assert_allclose(train.image.astype(int)[0, 1:-1, 1:-1], 100, atol=3)


def test_small_images_are_enlarged(tmp_path):
    write(tmp_path / "a.png", flat(50, 3, 4))
    train, _, _ = load_folder(str(tmp_path), 8)
    np.testing.assert_array_equal(train.image, np.full([1, 8, 8, 1], 50))


def test_a_file_that_is_no_image_is_named(tmp_path):
    write(tmp_path / "cat" / "a.png", flat(1))
    bad = tmp_path / "cat" / "b.png"
    content = (tmp_path / "cat" / "a.png").read_bytes()
    for damage in (b"no image", content[: len(content) // 2], b""):
        bad.write_bytes(damage)
        with pytest.raises(DataError, match=f"{re.escape(str(bad))}: expected a PNG or JPEG"):
            load_folder(str(tmp_path), 8)


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    """As root, tests can read every file."""
    write(tmp_path / "a.png", flat(1))

    def refuse(path, *_):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match=r"a\.png: expected a PNG or JPEG .* Permission denied"):
        load_folder(str(tmp_path), 8)


def test_an_image_that_claims_more_than_memory_holds_is_named(tmp_path):
    write(tmp_path / "a.png", flat(1))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.png: .*found: 100000 x 100000 pixels, more than"):
        load_folder(str(tmp_path), 8)


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(DataError, match="nowhere: expected a folder of images, found no such"):
        load_folder(str(tmp_path / "nowhere"), 8)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match=r"expected images .* found none"):
        load_folder(str(tmp_path), 8)


def test_classes_of_the_test_split_alone_are_refused(tmp_path):
    write(tmp_path / "train" / "cat" / "a.png", flat(1))
    write(tmp_path / "test" / "cow" / "a.png", flat(3))
    with pytest.raises(DataError, match="expected only the training classes, cat, found cow"):
        load_folder(str(tmp_path), 8)
