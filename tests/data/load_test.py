import os
import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data import shapes
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Examples

DATA_DIR = os.environ.get("VAE_LOWLEVEL_DATA_DIR")


def small_shapes(**changes):
    settings = {"shapes_examples": 120, "image_size": 9, "validation_size": 30, **changes}
    return DataConfig(dataset="shapes", **settings)


def test_shapes_are_split_three_ways():
    dataset = load_dataset(small_shapes())
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [90, 30, 20]
    assert dataset.image_shape == (9, 9, 1)
    assert dataset.class_names == ("ellipse", "square", "heart")
    assert dataset.factor_names == ("shape", "scale", "orientation", "x", "y")
    # Training and validation are together what was drawn, each image once.
    drawn = shapes.draw_shapes(120, 9, 0)
    together = np.concatenate([dataset.train.factors, dataset.validation.factors])
    order = np.lexsort(together.T)
    np.testing.assert_array_equal(together[order], drawn.factors[np.lexsort(drawn.factors.T)])
    rows = {tuple(row) for row in together}
    assert rows.isdisjoint(tuple(row) for row in dataset.test.factors)


def test_images_stay_with_their_labels_and_factors():
    validation = load_dataset(small_shapes()).validation
    drawn = shapes.draw_shapes(120, 9, 0)
    for row, factors in enumerate(validation.factors):
        (source,) = np.nonzero((drawn.factors == factors).all(1))[0]
        np.testing.assert_array_equal(validation.image[row], drawn.image[source])
        assert validation.label[row] == drawn.label[source]


def test_the_split_is_the_same_for_every_run_and_nested():
    large, again, small, none = (
        load_dataset(small_shapes(validation_size=size)) for size in (30, 30, 10, 0)
    )
    np.testing.assert_array_equal(large.validation.image, again.validation.image)
    np.testing.assert_array_equal(large.train.image, again.train.image)
    rows = {tuple(row) for row in large.validation.factors}
    assert {tuple(row) for row in small.validation.factors} < rows
    assert (len(none.train), len(none.validation)) == (120, 0)
    assert none.validation.image.shape == (0, 9, 9, 1)
    # Drawn at random, not the first or last ones.
    position = [np.argmax((none.train.factors == row).all(1)) for row in large.validation.factors]
    assert np.mean(position) == pytest.approx(60, abs=20)
    assert np.ptp(position) > 80


@pytest.mark.parametrize(("examples", "test_examples"), [(6, 1), (11, 1), (12, 2)])
def test_a_sixth_as_many_shapes_are_the_test_set(examples, test_examples):
    config = small_shapes(shapes_examples=examples, validation_size=1)
    assert len(load_dataset(config).test) == test_examples


@pytest.mark.parametrize("size", [120, 121])
def test_a_validation_set_that_leaves_nothing_is_refused(size):
    with pytest.raises(ConfigError, match=f"--validation_size={size} .* less than the 120 "):
        load_dataset(small_shapes(validation_size=size))
    assert len(load_dataset(small_shapes(validation_size=119)).train) == 1


@pytest.mark.skipif(not DATA_DIR, reason="VAE_LOWLEVEL_DATA_DIR is not set")
@pytest.mark.parametrize("name", ["fashion_mnist", "mnist"])
def test_real_data(name):
    """Class counts and pixel means published with the data sets."""
    if not pathlib.Path(DATA_DIR, name).is_dir():
        pytest.skip(f"VAE_LOWLEVEL_DATA_DIR has no folder {name}")
    dataset = load_dataset(DataConfig(dataset=name, validation_size=5000))
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == [55000, 5000, 10000]
    assert dataset.image_shape == (28, 28, 1)
    assert len(dataset.class_names) == 10
    image = np.concatenate([dataset.train.image, dataset.validation.image])
    label = np.concatenate([dataset.train.label, dataset.validation.label])
    means = {"fashion_mnist": 0.2860, "mnist": 0.1307}  # of the training pixels
    assert image.mean() / 255 == pytest.approx(means[name], abs=5e-5)
    if name == "fashion_mnist":
        assert np.bincount(label).tolist() == [6000] * 10
        assert np.bincount(dataset.test.label).tolist() == [1000] * 10
    else:
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(label).tolist() == counts
        assert dataset.test.label[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    counts = np.bincount(dataset.validation.label, minlength=10)
    assert counts.min() > 400


@pytest.mark.skipif(not DATA_DIR, reason="VAE_LOWLEVEL_DATA_DIR is not set")
def test_real_data_of_another_name_is_no_match():
    folder = pathlib.Path(DATA_DIR, "mnist")
    if not folder.is_dir():
        pytest.skip("VAE_LOWLEVEL_DATA_DIR has no folder mnist")
    with pytest.raises(DataError, match=f"{re.escape(str(folder))}: contains mnist"):
        load_dataset(DataConfig(dataset="fashion_mnist", data_dir=str(folder)))


def test_data_without_a_test_split_have_a_tenth_held_out(tmp_path):
    image = np.arange(40, dtype=np.uint8).reshape(40, 1, 1).repeat(8, 1).repeat(8, 2)
    np.savez(tmp_path / "a.npz", image=image)
    first, again = (
        load_dataset(DataConfig(dataset=f"npz:{tmp_path}/a.npz", validation_size=size))
        for size in (6, 3)
    )
    assert [len(first.train), len(first.validation), len(first.test)] == [30, 6, 4]
    np.testing.assert_array_equal(first.test.image, again.test.image)
    splits = [split.image[:, 0, 0, 0] for split in (first.train, first.validation, first.test)]
    assert sorted(np.concatenate(splits)) == list(range(40))


def test_all_splits_are_padded():
    dataset = load_dataset(small_shapes(pad_to=12))
    assert dataset.image_shape == (12, 12, 1)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.image.shape[1:] == (12, 12, 1)
    plain = load_dataset(small_shapes())
    np.testing.assert_array_equal(dataset.test.image[:, 1:10, 1:10], plain.test.image)


@pytest.fixture
def open_source(tmp_path):
    """Returns a function: kind, number of training images -> the setting of a data set."""

    def make(kind, count):
        if kind == "folder":
            (tmp_path / "train").mkdir()
            for number in range(count):
                image = np.full([8, 8, 1], number, np.uint8)
                (tmp_path / "train" / f"{number}.png").write_bytes(tf.io.encode_png(image).numpy())
            return {"dataset": f"folder:{tmp_path}", "image_size": 8}
        image = np.zeros([count, 8, 8], np.uint8)
        if kind == "npz":
            np.savez(tmp_path / "a.npz", image=image)
            return {"dataset": f"npz:{tmp_path}/a.npz"}
        if kind in ("records", "streamed"):
            examples = Examples(image[..., None], np.full(count, -1, np.int32))
            write_records(examples, str(tmp_path), "train", 2)
            resident_bytes = 0 if kind == "streamed" else 10**9
            return {"dataset": f"records:{tmp_path}/*.tfrecord", "resident_bytes": resident_bytes}
        return {"dataset": "shapes", "shapes_examples": count, "image_size": 8}

    return make


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("shapes", [90, 10, 16]),
        ("folder", [80, 10, 10]),
        ("npz", [80, 10, 10]),
        ("records", [80, 10, 10]),
        ("streamed", [80, 10, 10]),
    ],
)
def test_by_default_a_tenth_is_held_out_for_validation(open_source, kind, sizes):
    dataset = load_dataset(DataConfig(**open_source(kind, 100)))
    assert [len(dataset.train), len(dataset.validation), len(dataset.test)] == sizes


@pytest.mark.parametrize("has_test", [True, False])
def test_the_first_held_out_images_of_a_folder_are_of_all_classes(tmp_path, has_test):
    """What shows or measures the first images of a split is not to see one class only."""
    for split in ("train", "test")[: 1 + has_test]:
        for number in range(200):
            path = tmp_path / split / f"class_{number // 50}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(tf.io.encode_png(np.full([8, 8, 1], number, np.uint8)).numpy())
    config = DataConfig(dataset=f"folder:{tmp_path}", image_size=8, validation_size=60)
    dataset = load_dataset(config)
    for split in (dataset.validation, dataset.test):
        assert set(split.label[:20]) == {0, 1, 2, 3}
        # Images keep their labels, and each is there once.
        np.testing.assert_array_equal(split.image[:, 0, 0, 0] // 50, split.label)
        assert len(np.unique(split.image[:, 0, 0, 0])) == len(split)
    again = load_dataset(config)
    np.testing.assert_array_equal(again.test.image, dataset.test.image)


@pytest.mark.parametrize(("kind", "count"), [("npz", 4500), ("shapes", 5000), ("streamed", 4500)])
def test_a_validation_size_that_is_set_is_not_lowered(open_source, kind, count):
    config = DataConfig(**open_source(kind, 5000), validation_size=5000)
    with pytest.raises(ConfigError, match=f"--validation_size=5000 .* less than the {count} "):
        load_dataset(config)


@pytest.mark.parametrize("kind", ["npz", "records"])
def test_labels_without_names_make_no_more_classes_than_examples_can_have(tmp_path, kind):
    """One label out of place would give a conditional model weights for a million classes."""
    label = np.full(40, 3, np.int32)
    label[7] = 975_000
    image = np.zeros([40, 8, 8, 1], np.uint8)
    if kind == "npz":
        np.savez(tmp_path / "a.npz", image=image, label=label)
        dataset = f"npz:{tmp_path}/a.npz"
    else:
        write_records(Examples(image, label), str(tmp_path), "train", 2)
        dataset = f"records:{tmp_path}/*.tfrecord"
    message = rf"--dataset={re.escape(dataset)}: .*at most 1000 classes.*the label 975000; number"
    with pytest.raises(DataError, match=message):
        load_dataset(DataConfig(dataset=dataset))


def test_padding_larger_than_memory_is_refused_before_it_is_allocated(monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 10**6}.get)
    with pytest.raises(
        ConfigError, match=r"--pad_to=100 makes 120 images of 100 x 100 of 1200000 "
    ):
        load_dataset(small_shapes(pad_to=100))


def test_images_larger_than_memory_are_refused_before_they_are_read(open_source, monkeypatch):
    source = open_source("folder", 3)
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 191}.get)
    with pytest.raises(ConfigError, match=r"--image_size=8 makes 3 images of 8 x 8 of 192 bytes"):
        load_dataset(DataConfig(**source))
