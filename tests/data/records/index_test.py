from __future__ import annotations

import pathlib
import re

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.data.records.index import check_shards, index_records
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples


def write(folder, count=11, shards=3, shape=(4, 5, 2), labels=None):
    image = np.random.default_rng(count).integers(0, 256, [count, *shape], np.uint8)
    label = np.arange(count) % 3 if labels is None else np.array(labels)
    return write_records(Examples(image, label.astype(np.int32)), str(folder), "train", shards)


def test_every_record_is_found_where_tensorflow_finds_it(tmp_path):
    files = write(tmp_path)
    tf.io.TFRecordWriter(str(tmp_path / "train-0.tfrecord")).close()  # a shard without records
    files = [str(tmp_path / "train-0.tfrecord"), *files]
    index = index_records(files)
    assert len(index) == 11
    assert index.image_shape == (4, 5, 2)
    assert index.first.tolist() == [0, 0, 4, 8, 11]
    assert index.files_of(np.arange(11)).tolist() == [1] * 4 + [2] * 4 + [3] * 3
    number = 0
    for file in files:
        content = pathlib.Path(file).read_bytes()
        for record in tf.data.TFRecordDataset(file).as_numpy_iterator():
            assert content[index.offset[number] + 12 :].startswith(record)
            number += 1


def test_shards_that_are_cut_off_or_of_another_kind_are_named(tmp_path):
    files = write(tmp_path)
    content = pathlib.Path(files[1]).read_bytes()
    for damage in (content[:-5], content[:-1], content[: len(content) // 4 + 5], b"text"):
        pathlib.Path(files[1]).write_bytes(damage)
        with pytest.raises(DataError, match=f"{re.escape(files[1])}: expected a complete TFRecord"):
            index_records(files)
    for file in files:
        pathlib.Path(file).write_bytes(b"")
    with pytest.raises(DataError, match="expected records in this shard or in another"):
        index_records(files)


def test_damage_is_found_and_complete_shards_pass(tmp_path):
    files = write(tmp_path)
    check_shards(files, (4, 5, 2), 3)
    with pytest.raises(DataError, match="images of one size, found 4x5x1 and 4x5x2"):
        check_shards(files, (4, 5, 1), 3)
    with pytest.raises(DataError, match=r"labels from 0 to 1, .* found 2 to 2"):
        check_shards(files, (4, 5, 2), 2)
    with pytest.raises(DataError, match=r"expected class_names.txt next to it"):
        check_shards(files, (4, 5, 2), 0)
    content = bytearray(pathlib.Path(files[2]).read_bytes())
    content[-6] ^= 1
    pathlib.Path(files[2]).write_bytes(content)
    with pytest.raises(DataError, match=f"{re.escape(files[2])}: .*corrupted record at"):
        check_shards(files, (4, 5, 2), 3)


def test_examples_without_labels_need_no_names(tmp_path):
    check_shards(write(tmp_path, labels=[-1] * 11), (4, 5, 2), 0)
