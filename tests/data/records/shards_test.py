from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import pathlib
import re
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.data.records.index import check_shards
from vae_lowlevel.data.records.shards import load_records, write_class_names, write_records
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

ROOT = pathlib.Path(__file__).parents[3]


def examples(count=7, shape=(4, 5, 2)):
    image = np.random.default_rng(count).integers(0, 256, [count, *shape], np.uint8)
    return Examples(image, np.arange(count, dtype=np.int32) - 1)


def rows(split):
    return sorted(
        (row.tobytes(), int(label)) for row, label in zip(split.image, split.label, strict=True)
    )


@pytest.mark.parametrize("shards", [1, 3])
def test_what_is_written_is_read(tmp_path, shards):
    given, given_test = examples(), examples(4)
    files = write_records(given, str(tmp_path), "train", shards)
    write_records(given_test, str(tmp_path), "test", 1)
    write_class_names(("a b", *"cdefg"), str(tmp_path))
    assert len(files) == shards
    train, test, names = load_records(f"{tmp_path}/*.tfrecord")
    assert train.image.shape == given.image.shape
    assert (rows(train), rows(test)) == (rows(given), rows(given_test))
    assert names == ("a b", *"cdefg")


def test_without_test_shards_and_names_there_are_none(tmp_path):
    write_records(examples(), str(tmp_path), "train", 2)
    _, test, names = load_records(f"{tmp_path}/train-*")
    assert (test, names) == (None, ())


def test_a_record_is_an_example_of_three_features(tmp_path):
    (file,) = write_records(examples(1), str(tmp_path), "train", 1)
    (record,) = tf.data.TFRecordDataset(file).as_numpy_iterator()
    feature = tf.train.Example.FromString(record).features.feature
    assert set(feature) == {"image", "shape", "label"}
    assert feature["image"].bytes_list.value[0] == examples(1).image[0].tobytes()
    assert feature["shape"].int64_list.value[:] == [4, 5, 2]
    assert feature["label"].int64_list.value[:] == [-1]


def write_raw(path, *features):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for feature in features:
            fields = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                if isinstance(value, bytes)
                else tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                for name, value in feature.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=fields))
            writer.write(example.SerializeToString())


def test_a_record_without_label_has_no_class(tmp_path):
    write_raw(tmp_path / "a.tfrecord", {"image": bytes(6), "shape": [2, 3, 1]})
    train, _, _ = load_records(f"{tmp_path}/*")
    assert (train.image.shape, train.label.tolist()) == ((1, 2, 3, 1), [-1])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([{"image": bytes(5), "shape": [2, 3, 1]}], "expected 6 bytes for an image of 2x3x1"),
        ([{"picture": bytes(6), "shape": [2, 3, 1]}], "expected a complete TFRecord file .*image"),
        ([{"image": bytes(6), "shape": [2, 3]}], "expected a complete TFRecord file"),
        (
            [{"image": bytes(6), "shape": shape} for shape in ([2, 3, 1], [3, 2, 1])],
            "expected images of one size, at least 1x1x1, found 2x3x1 and 3x2x1",
        ),
    ],
)
def test_other_records_are_refused_by_file(tmp_path, features, message):
    path = tmp_path / "train.tfrecord"
    write_raw(path, *features)
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: {message}"):
        load_records(str(path))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([2**32, 2**32, 1], "expected 18446744073709551616 bytes for an image of 4294967296x4294"),
        ([2**62, 4, 1], "expected 18446744073709551616 bytes"),  # 0 in int64
        ([-2, -3, 1], "at least 1x1x1, found -2x-3x1"),
        ([0, 3, 1], "at least 1x1x1, found 0x3x1"),
    ],
)
def test_shapes_that_the_pixels_do_not_have_are_refused(tmp_path, shape, message):
    path = tmp_path / "train.tfrecord"
    write_raw(path, {"image": bytes(6), "shape": shape})
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: .*{message}"):
        load_records(str(path))


@pytest.mark.parametrize(
    ("label", "names", "message"),
    [
        (99, "abc", "from 0 to 2, for the 3 class names, or -1 for no class, found 99 to 99"),
        (-7, "abc", "found -7 to -7"),
        (-7, "", "found -7 to -7"),
        (2**40, "abc", "found 1099511627776 to"),
        (2**40, "", "from 0 to 2147483646, .* found 1099511627776 to"),
    ],
)
@pytest.mark.parametrize("split", ["train", "test"])
def test_labels_are_checked_before_they_are_narrowed(tmp_path, label, names, message, split):
    write_records(examples(1, (2, 3, 1)), str(tmp_path), "train", 1)
    write_class_names(names, str(tmp_path))
    path = tmp_path / f"{split}.tfrecord"
    write_raw(path, {"image": bytes(6), "shape": [2, 3, 1], "label": [label]})
    with pytest.raises(DataError, match=f"{re.escape(str(path))}: expected labels .*{message}"):
        load_records(f"{tmp_path}/*.tfrecord")
    if split == "train":
        with pytest.raises(DataError, match=r"expected (labels|class_names\.txt)"):
            check_shards([str(path)], (2, 3, 1), len(names))


def test_a_record_that_claims_more_than_its_file_is_not_read(tmp_path):
    """With a right checksum of its length, TensorFlow would allocate what it claims."""
    path = tmp_path / "train.tfrecord"
    (file,) = write_records(examples(1), str(tmp_path / "whole"), "train", 1)
    content = pathlib.Path(file).read_bytes()
    length = struct.pack("<Q", 2**45)
    path.write_bytes(length + masked_crc(length) + content[12:])
    with pytest.raises(DataError, match=r"expected a complete TFRecord.*do not end with a record"):
        load_records(str(path))
    # The length of a whole record is the one of its file.
    assert masked_crc(content[:8]) == content[8:12]


def masked_crc(content):
    """CRC32C as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF)


def test_a_disk_that_is_full_is_named_with_the_file(tmp_path, monkeypatch):
    def full(*_):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

    monkeypatch.setattr(tf.io.TFRecordWriter, "write", full)
    with pytest.raises(DataError, match=r"train-00000-of-00001.tfrecord.*No space left"):
        write_records(examples(), str(tmp_path), "train", 1)
    assert not list(tmp_path.glob("*.tfrecord"))


def test_damaged_and_missing_shards_are_named(tmp_path):
    files = write_records(examples(), str(tmp_path), "train", 2)
    content = pathlib.Path(files[1]).read_bytes()
    # Cut in a record's data, in its first bytes, between; changed; of another kind.
    cuts = content[:-5], content[: len(content) // 3 + 8], content[: len(content) // 3 + 12]
    for damage in (*cuts, content[:20] + b"!" + content[21:], b"text"):
        pathlib.Path(files[1]).write_bytes(damage)
        with pytest.raises(DataError, match=f"{re.escape(files[1])}: expected a complete TFRecord"):
            load_records(f"{tmp_path}/*")
    with pytest.raises(DataError, match=r"other-\*: expected training shards, found no file"):
        load_records(f"{tmp_path}/other-*")
    write_records(examples(), str(tmp_path / "only"), "test", 1)
    with pytest.raises(DataError, match="found only the test shards"):
        load_records(f"{tmp_path}/only/*")


def test_shards_of_other_sizes_are_refused(tmp_path):
    write_records(examples(), str(tmp_path), "train", 1)
    write_records(examples(shape=(5, 4, 2)), str(tmp_path), "more", 1)
    with pytest.raises(DataError, match="images of one size, found 4x5x2 and 5x4x2"):
        load_records(f"{tmp_path}/*")


@pytest.fixture
def make_records(capsys, monkeypatch):
    """The tool, in this process: flags -> exit code, stdout, stderr."""
    loader = importlib.machinery.SourceFileLoader("tool", str(ROOT / "tools" / "make_records"))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("tool", loader))
    # dataclasses look their module up by its name.
    monkeypatch.setitem(sys.modules, "tool", tool)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loader.exec_module(tool)

    def call(*flags):
        flags = ("--dataset=shapes", "--shapes_examples=12", "--image_size=9", *flags)
        code = tool.cli.main("", tool.MakeRecordsOptions, tool.run, [*flags, "--tensorflow_log"])
        shown = capsys.readouterr()
        return code, shown.out, shown.err

    return call


def test_the_tool_refuses_a_folder_with_other_records(tmp_path, make_records):
    """Of 4 shards and of 3, training would read both as one data set."""
    folder = tmp_path / "new"
    code, shown, _ = make_records(f"--output={folder}", "--shards=4")
    assert (code, "wrote 12 train examples to 4 files train-* in " in shown) == (0, True)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    for shards in (3, 4):
        code, shown, message = make_records(f"--output={folder}", f"--shards={shards}")
        assert (code, shown) == (2, "")
        assert f"--output={folder} must not hold other records, found class_names.txt" in message
        assert "delete them or choose another folder" in message
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_a_tool_that_is_stopped_leaves_nothing_that_is_read_as_a_data_set(
    tmp_path, make_records, monkeypatch, moved
):
    replace, done = os.replace, []

    def stop(source, target):
        if os.path.dirname(target) == str(tmp_path):
            if len(done) == moved:
                raise KeyboardInterrupt
            done.append(target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", stop)
    assert make_records(f"--output={tmp_path}", "--shards=3")[0] != 0
    with pytest.raises(DataError, match=r"expected (training shards|this shard next to)"):
        load_records(f"{tmp_path}/*.tfrecord")
    monkeypatch.undo()


def test_the_tool_begins_again_after_it_was_stopped_while_it_wrote(tmp_path, make_records):
    write_records(examples(), str(tmp_path / ".partial"), "train", 7)
    assert make_records(f"--output={tmp_path}", "--shards=2")[0] == 0
    assert len(load_records(f"{tmp_path}/*.tfrecord")[0]) == 12
    assert not (tmp_path / ".partial").exists()


def run_tool(*flags):
    return subprocess.run(
        [sys.executable, ROOT / "tools" / "make_records", *flags],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_the_tool_writes_what_training_reads(tmp_path):
    given = {"dataset": "shapes", "shapes_examples": 12, "image_size": 9}
    flags = [f"--{name}={value}" for name, value in given.items()]
    done = run_tool(*flags, f"--output={tmp_path}", "--shards=3")
    assert done.returncode == 0, done.stderr
    assert f"wrote 12 train examples to 3 files train-* in {tmp_path}" in done.stdout
    assert f"wrote 2 test examples to 2 files test-* in {tmp_path}" in done.stdout
    read, drawn = (
        load_dataset(DataConfig(validation_size=0, **changes))
        for changes in ({"dataset": f"records:{tmp_path}/*.tfrecord"}, given)
    )
    assert read.class_names == drawn.class_names
    assert rows(read.train) == rows(drawn.train)
    assert rows(read.test) == rows(drawn.test)
    assert sorted(os.listdir(tmp_path)) == [
        "class_names.txt",
        *(f"test-0000{shard}-of-00002.tfrecord" for shard in range(2)),
        *(f"train-0000{shard}-of-00003.tfrecord" for shard in range(3)),
    ]


def test_the_tool_explains_its_flags_and_refuses_missing_ones(tmp_path):
    shown = run_tool("--help")
    assert shown.returncode == 0
    for flag in ("--dataset", "--data_dir", "--image_size", "--output", "--shards"):
        assert flag in shown.stdout
    refused = run_tool(f"--output={tmp_path}/new")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "--dataset is needed" in refused.stderr
    assert not (tmp_path / "new").exists()
