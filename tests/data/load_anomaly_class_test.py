"""A class that is left out of training and validation, and stays in the test split."""

import numpy as np
import pytest

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.load import find_class, load_dataset
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.errors import ConfigError


def small_shapes(**changes):
    return DataConfig(shapes_examples=120, image_size=9, validation_size=30, **changes)


@pytest.mark.parametrize("binarize", ["none", "static", "dynamic"])
@pytest.mark.parametrize("name", ["square", "1"])
def test_the_class_is_removed_and_all_other_images_stay_as_they_are(name, binarize):
    whole = load_dataset(small_shapes(binarize=binarize))
    rest = load_dataset(small_shapes(binarize=binarize, anomaly_class=name))
    for split in ("train", "validation"):
        before, after = getattr(whole, split), getattr(rest, split)
        kept = before.label != 1
        assert 0 < np.sum(kept) < len(before)
        for part in ("image", "label", "factors"):
            np.testing.assert_array_equal(getattr(after, part), getattr(before, part)[kept])
    np.testing.assert_array_equal(rest.test.image, whole.test.image)
    assert 1 in rest.test.label
    assert rest.class_names == whole.class_names


def test_classes_without_names_are_numbers(tmp_path):
    path = str(tmp_path / "data.npz")
    label = np.arange(40) % 4
    np.savez(path, image=np.zeros([40, 8, 8], np.uint8), label=label)
    dataset = load_dataset(DataConfig(dataset=f"npz:{path}", anomaly_class="2"))
    assert set(dataset.train.label) == {0, 1, 3}
    assert dataset.num_classes == 4


def test_a_class_name_that_is_a_number_comes_first():
    assert find_class("1", ["7", "1", "0"]) == 1
    assert find_class("2", ["7", "1", "0"]) == 2


@pytest.mark.parametrize("name", ["3", "-1", "circle", "1.0", "²", "9" * 30])
def test_another_class_is_refused(name):
    message = r"--anomaly_class must be one of ellipse, square, heart, or its number from 0 to 2, "
    with pytest.raises(ConfigError, match=message + f"got '{name}'"):
        load_dataset(small_shapes(anomaly_class=name))


def test_data_without_labels_have_no_class(tmp_path):
    path = str(tmp_path / "data.npz")
    np.savez(path, image=np.zeros([40, 8, 8], np.uint8))
    with pytest.raises(ConfigError, match="--anomaly_class=0 needs labels"):
        load_dataset(DataConfig(dataset=f"npz:{path}", anomaly_class="0"))


def test_the_only_class_cannot_be_left_out(tmp_path):
    path = str(tmp_path / "data.npz")
    np.savez(path, image=np.zeros([40, 8, 8], np.uint8), label=np.zeros(40, np.int64))
    with pytest.raises(ConfigError, match="removes all 32 training images"):
        load_dataset(DataConfig(dataset=f"npz:{path}", anomaly_class="0"))


def test_a_stream_cannot_leave_out_a_class(tmp_path):
    examples = load_dataset(small_shapes()).train
    write_records(examples, str(tmp_path), "train", 1)
    settings = {"dataset": f"records:{tmp_path}/*", "anomaly_class": "2"}
    assert 2 not in load_dataset(DataConfig(**settings)).train.label
    with pytest.raises(ConfigError, match=r"--anomaly_class=2 .*in memory: set --resident"):
        load_dataset(DataConfig(**settings, resident_bytes=0))
