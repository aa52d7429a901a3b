from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.data.records.index import index_records
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.data.records.stream import RecordStream
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Examples

COUNT, CLASSES = 60, 5
HELD_OUT = np.array([0, 7, 8, 33, 59])


def examples():
    """The first pixel of each image is its number."""
    image = np.random.default_rng(0).integers(0, 256, [COUNT, 3, 4, 1]).astype(np.uint8)
    image[:, 0, 0, 0] = np.arange(COUNT)
    return Examples(image, np.arange(COUNT, dtype=np.int32) % CLASSES)


@pytest.fixture
def files(tmp_path):
    return write_records(examples(), str(tmp_path), "train", 7)


def open_stream(files, held_out=HELD_OUT, shuffle_buffer=16, pad_to=None, num_classes=CLASSES):
    index = index_records(files)
    numbers = np.setdiff1d(np.arange(len(index)), held_out).astype(np.int32)
    return RecordStream(
        index, numbers, shuffle_buffer=shuffle_buffer, pad_to=pad_to, num_classes=num_classes
    )


def images_of(batches):
    return [images.numpy() for images, _ in batches]


def names_of(batches):
    """The numbers in the images of each batch."""
    return [images[:, 0, 0, 0].tolist() for images in images_of(batches)]


def by_number(files):
    """The records in the order of the shards, read by TensorFlow alone."""
    records = [r for f in files for r in tf.data.TFRecordDataset(f).as_numpy_iterator()]
    features = [tf.train.Example.FromString(record).features.feature for record in records]
    image = [np.frombuffer(f["image"].bytes_list.value[0], np.uint8) for f in features]
    return np.stack(image).reshape(-1, 3, 4, 1), [f["label"].int64_list.value[0] for f in features]


def test_an_epoch_has_each_training_example_once_and_no_held_out_one(files):
    stream = open_stream(files)
    assert len(stream) == COUNT - len(HELD_OUT)
    image, _ = by_number(files)
    kept = set(image[:, 0, 0, 0]) - set(image[HELD_OUT, 0, 0, 0])
    for epoch in range(3):
        seen = np.concatenate(names_of(stream.batches(4, epoch, 0, 5)))
        assert sorted(seen) == sorted(kept)
        # The remainder is dropped.
        batches = names_of(stream.batches(4, epoch, 0, 8))
        assert [len(batch) for batch in batches] == [8] * 6
        assert len(set(np.concatenate(batches))) == 48


def test_images_and_labels_are_those_written(files):
    given = examples()
    for images, labels in open_stream(files, held_out=[]).batches(0, 0, 0, 6):
        assert (images.dtype, labels.dtype) == (tf.uint8, tf.int32)
        assert (images.shape, labels.shape) == ((6, 3, 4, 1), (6,))
        rows = images[:, 0, 0, 0].numpy()
        np.testing.assert_array_equal(images, given.image[rows])
        np.testing.assert_array_equal(labels, given.label[rows])


def test_the_order_is_a_function_of_seed_and_epoch(files):
    keys = [(0, 0), (0, 1), (1, 0), (5, 0), (0, 5)]
    orders = [names_of(open_stream(files).batches(*key, 0, 5)) for key in keys]
    again = open_stream(files)
    for key, order in zip(reversed(keys), reversed(orders), strict=True):
        assert names_of(again.batches(*key, 0, 5)) == order
    assert len({str(order) for order in orders}) == len(keys)


@pytest.mark.long
def test_the_order_is_the_same_in_another_process(files, tmp_path):
    program = (
        "import sys, numpy as np\n"
        "from vae_lowlevel.data.records.index import index_records\n"
        "from vae_lowlevel.data.records.stream import RecordStream\n"
        "stream = RecordStream(index_records(sys.argv[1:]), np.arange(60, dtype=np.int32),"
        " shuffle_buffer=16, pad_to=None, num_classes=5)\n"
        "print([i[:, 0, 0, 0].numpy().tolist() for i, _ in stream.batches(3, 2, 0, 5)])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, *files], capture_output=True, text=True, check=True
    )
    tf.random.set_seed(7)  # The global seed does not change the order.
    own = names_of(open_stream(files, held_out=[]).batches(3, 2, 0, 5))
    assert found.stdout.strip() == str(own)


@pytest.mark.parametrize("step", [1, 4, 9, 10])
def test_a_stream_opened_at_a_step_continues_the_epoch(files, step):
    whole = images_of(open_stream(files).batches(3, 2, 0, 5))
    rest = images_of(open_stream(files).batches(3, 2, step, 5))
    assert len(rest) == 11 - step
    np.testing.assert_array_equal(rest, whole[step:])


@pytest.mark.parametrize("workers", [2, 3])
def test_the_rows_of_all_workers_are_the_batch(files, workers):
    stream = open_stream(files)
    whole = images_of(stream.batches(1, 0, 2, 12))
    parts = [images_of(stream.batches(1, 0, 2, 12, worker, workers)) for worker in range(workers)]
    assert parts[0][0].shape == (12 // workers, 3, 4, 1)
    np.testing.assert_array_equal(np.concatenate(parts, 1), whole)


def test_shards_and_neighbours_are_mixed(files):
    """With a buffer for all records, the order is not correlated with the numbers."""
    stream = open_stream(files, held_out=[], shuffle_buffer=COUNT)
    (first,) = names_of(stream.batches(0, 0, 0, 60))
    assert np.abs(np.corrcoef(first, np.arange(60))[0, 1]) < 0.5
    orders = [names_of(stream.batches(0, epoch, 0, 60))[0][0] for epoch in range(8)]
    assert len(set(orders)) > 3


def test_rows_are_read_by_number_without_the_others(files):
    image, label = by_number(files)
    stream = open_stream(files)
    kept = np.setdiff1d(np.arange(COUNT), HELD_OUT)
    for rows in (slice(4), slice(0), np.array([50, 3, 3, 20])):
        read = stream[rows]
        np.testing.assert_array_equal(read.image, image[kept[rows]])
        assert read.label.tolist() == [label[number] for number in kept[rows]]
        assert (read.image.dtype, read.label.dtype) == (np.uint8, np.int32)
    np.testing.assert_array_equal(stream.read(HELD_OUT).image, image[HELD_OUT])


def test_images_are_padded(files):
    plain, padded = open_stream(files), open_stream(files, pad_to=7)
    assert padded.image_shape == (7, 7, 1)
    for (small, _), (large, _) in zip(
        plain.batches(0, 0, 0, 5), padded.batches(0, 0, 0, 5), strict=True
    ):
        assert large.shape == (5, 7, 7, 1)
        np.testing.assert_array_equal(large[:, 2:5, 1:5], small)
        assert np.count_nonzero(large) == np.count_nonzero(small)
    assert padded[:2].image.shape == (2, 7, 7, 1)
    with pytest.raises(ConfigError, match=r"--pad_to=3 must be at least .* found 3 x 4"):
        open_stream(files, pad_to=3)


def damage(path, kind):
    content = bytearray(pathlib.Path(path).read_bytes())
    if kind == "checksum":
        content[len(content) // 2] ^= 1
        pathlib.Path(path).write_bytes(content)
    else:
        shape, size, label = {
            "turned": ((4, 3, 1), 12, 0),
            "smaller": ((3, 3, 1), 9, 0),
            "short": ((3, 4, 1), 11, 0),
            "label": ((3, 4, 1), 12, CLASSES),
            "negative": ((3, 4, 1), 12, -2),
        }[kind]
        feature = {
            "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[bytes(size)])),
            "shape": tf.train.Feature(int64_list=tf.train.Int64List(value=shape)),
            "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
        }
        record = tf.train.Example(features=tf.train.Features(feature=feature))
        with tf.io.TFRecordWriter(path) as writer:
            writer.write(record.SerializeToString())


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("checksum", "expected a complete TFRecord file .*corrupted record"),
        ("turned", "expected shards with images of one size, found 3x4x1 and 4x3x1"),
        ("smaller", "expected shards with images of one size, found 3x3x1 and 3x4x1"),
        ("short", r"expected 12 bytes for an image of 3x4x1, found \[11\]"),
        ("label", "expected labels from 0 to 4, .* found 5 to 5"),
        ("negative", "expected labels from 0 to 4, .* found -2 to -2"),
    ],
)
def test_damage_in_a_stream_is_named_with_its_file(files, kind, message):
    damage(files[3], kind)
    stream = open_stream(files, held_out=[])
    named = f"{re.escape(files[3])}: {message}"
    with pytest.raises(DataError, match=named), stream.named_damage():
        list(stream.batches(0, 0, 0, 4))
    with pytest.raises(DataError, match=named):
        stream.read(np.arange(len(stream)))


def test_missing_files_are_named(files):
    stream = open_stream(files)
    os.remove(files[2])
    with pytest.raises(DataError, match=re.escape(files[2])), stream.named_damage():
        list(stream.batches(0, 0, 0, 4))


@pytest.mark.slow
def test_memory_is_bounded_by_the_buffer_not_by_the_files(tmp_path):
    """Peak memory of a process that reads 400 MB through a buffer of 1 MB grows by little."""
    image = np.random.default_rng(0).integers(0, 256, [250, 64, 64, 3]).astype(np.uint8)
    for part in range(128):
        one = Examples(image, np.full(250, -1, np.int32))
        write_records(one, str(tmp_path / f"{part}"), "train", 1)
    program = (
        "import glob, resource, sys, numpy as np\n"
        "from vae_lowlevel.data.records.index import index_records\n"
        "from vae_lowlevel.data.records.stream import RecordStream\n"
        "index = index_records(sorted(glob.glob(sys.argv[1])))\n"
        "numbers = np.arange(len(index), dtype=np.int32)[50:]\n"
        "stream = RecordStream(index, numbers, shuffle_buffer=100, pad_to=None, num_classes=0)\n"
        "def peak(batches):\n"
        "    for _ in batches: pass\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "first = peak(stream.batches(0, 0, 0, 50).take(20))\n"
        "print(peak(stream.batches(0, 1, 0, 50)) - first)\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "*" / "*")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 32_000 * image[0].nbytes > 390e6
    assert int(found.stdout) < 100e6
