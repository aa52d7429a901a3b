from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest

import vae_lowlevel.data.records.dataset
from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Examples


def examples(count, seed=0, classes=3):
    image = np.random.default_rng(seed).integers(0, 256, [count, 4, 5, 1]).astype(np.uint8)
    return Examples(image, np.arange(count, dtype=np.int32) % classes)


def write(folder, test=False, names=("a", "b", "c")):
    files = write_records(examples(50), str(folder), "train", 4)
    if test:
        write_records(examples(9, seed=1), str(folder), "test", 2)
    write_class_names(names, str(folder))
    return files


def load(folder, **settings):
    settings = {"validation_size": 6, "resident_bytes": 0, **settings}
    return load_dataset(DataConfig(dataset=f"records:{folder}/*.tfrecord", **settings))


def epoch_of(stream):
    images = np.concatenate([images for images, _ in stream.batches(0, 0, 0, 1)])
    return sorted(image.tobytes() for image in images)


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("pad_to", [None, 8])
def test_splits_are_the_same_as_in_memory(tmp_path, test, pad_to):
    write(tmp_path, test)
    streamed = load(tmp_path, pad_to=pad_to)
    resident = load(tmp_path, pad_to=pad_to, resident_bytes=10**9)
    assert isinstance(streamed.train, RecordStream)
    assert isinstance(resident.train, Examples)
    for split in ("validation", "test"):
        own, other = getattr(streamed, split), getattr(resident, split)
        np.testing.assert_array_equal(own.image, other.image)
        np.testing.assert_array_equal(own.label, other.label)
        assert len(own) == (6 if split == "validation" else 9 if test else 5)
    assert epoch_of(streamed.train) == sorted(image.tobytes() for image in resident.train.image)
    np.testing.assert_array_equal(streamed.train[:7].image, resident.train[:7].image)
    assert streamed.image_shape == resident.image_shape
    assert streamed.class_names == resident.class_names == ("a", "b", "c")


def test_shards_up_to_the_bound_are_read_into_memory(tmp_path):
    files = write(tmp_path)
    size = sum(pathlib.Path(file).stat().st_size for file in files)
    assert isinstance(load(tmp_path, resident_bytes=size).train, Examples)
    assert isinstance(load(tmp_path, resident_bytes=size - 1).train, RecordStream)
    # The service reads the shards itself, however small they are.
    address = "grpc://localhost:5050"
    assert isinstance(
        load(tmp_path, resident_bytes=size, tf_data_service=address).train, RecordStream
    )


def test_binarized_splits_are_the_same_as_in_memory(tmp_path):
    write(tmp_path)
    streamed = load(tmp_path, binarize="dynamic")
    resident = load(tmp_path, binarize="dynamic", resident_bytes=10**9)
    for split in ("validation", "test"):
        np.testing.assert_array_equal(
            getattr(streamed, split).image, getattr(resident, split).image
        )
    assert epoch_of(streamed.train) == sorted(image.tobytes() for image in resident.train.image)
    with pytest.raises(ConfigError, match=r"--binarize=static .* --binarize=dynamic, or --resid"):
        load(tmp_path, binarize="static")


def test_labels_without_class_names_are_refused(tmp_path):
    files = write(tmp_path, names=())
    with pytest.raises(DataError, match=rf"{re.escape(files[0])}: expected class_names.txt"):
        load(tmp_path)


def test_validation_that_leaves_nothing_is_refused(tmp_path):
    write(tmp_path)
    with pytest.raises(ConfigError, match="--validation_size=45 must be less than the 45"):
        load(tmp_path, validation_size=45)


def test_held_out_splits_too_large_for_memory_are_refused(tmp_path, monkeypatch):
    write(tmp_path)
    # 6 validation and 5 test images of 20 bytes.
    monkeypatch.setattr(vae_lowlevel.data.records.dataset, "DEFAULT_RESIDENT_BYTES", 220)
    assert len(load(tmp_path).test) == 5
    monkeypatch.setattr(vae_lowlevel.data.records.dataset, "DEFAULT_RESIDENT_BYTES", 219)
    with pytest.raises(
        DataError,
        match=r"at most 219 bytes together, .* found 220; set a smaller --val",
    ):
        load(tmp_path)
    assert len(load(tmp_path, resident_bytes=220).test) == 5
