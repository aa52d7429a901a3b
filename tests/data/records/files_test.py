import os
import re
import shutil

import numpy as np
import pytest

from vae_lowlevel.data.records.files import find_shards, read_class_names
from vae_lowlevel.data.records.shards import write_class_names, write_records
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples


def write(folder, split, shards):
    image = np.zeros([5, 2, 2, 1], np.uint8)
    return write_records(Examples(image, np.zeros(5, np.int32)), str(folder), split, shards)


def test_shards_of_two_data_sets_are_not_mixed(tmp_path):
    write(tmp_path, "train", 2)
    write(tmp_path, "train", 3)
    message = rf"{re.escape(str(tmp_path))}/train-\*: .*found files of 2 and of 3 shards; delete"
    with pytest.raises(DataError, match=message):
        find_shards(f"{tmp_path}/*.tfrecord")
    # Chosen by the pattern, and in a folder of their own.
    assert len(find_shards(f"{tmp_path}/*-of-00002.tfrecord")[0]) == 2
    write(tmp_path / "more", "train", 4)
    for path in (tmp_path).glob("*-of-00003.tfrecord"):
        path.unlink()
    assert len(find_shards(f"{tmp_path}/**/*.tfrecord")[0]) == 4
    write(tmp_path, "test", 1)
    assert len(find_shards(f"{tmp_path}/*.tfrecord")[1]) == 1


def test_a_lost_shard_is_named(tmp_path):
    files = write(tmp_path, "train", 3)
    # A pattern may leave out shards that exist.
    assert find_shards(files[1]) == ([files[1]], [])
    os.remove(files[2])
    with pytest.raises(DataError, match=f"{re.escape(files[2])}: expected this shard next to"):
        find_shards(f"{tmp_path}/*.tfrecord")
    shutil.copy(files[0], tmp_path / "mine.tfrecord")  # of a name of its own
    assert len(find_shards(f"{tmp_path}/mine*")[0]) == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"cat\nd\xffg\n", "found: 'utf-8' codec can't decode byte 0xff"),
        (b"", "found a line without one"),
        (b"cat\n\ndog\n", "found a line without one"),
        (b"cat\nd\0g\n", "found a line without one"),
        (b"cat\ndog\ncat\n", "found the same name twice"),
        (b"a" * 2**20 + b"b", "found a larger file"),
    ],
)
def test_class_names_of_other_content_are_refused(tmp_path, content, message):
    (tmp_path / "class_names.txt").write_bytes(content)
    path = re.escape(str(tmp_path / "class_names.txt"))
    with pytest.raises(DataError, match=f"{path}: expected UTF-8 text .*{message}"):
        read_class_names([str(tmp_path / "a.tfrecord")])


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_class_names_are_lines(tmp_path, end):
    text = f"T-shirt/top{end or chr(10)}\u00e9t\u00e9{end}"
    (tmp_path / "class_names.txt").write_bytes(text.encode())
    names = read_class_names([str(tmp_path / "a.tfrecord")])
    assert names == ("T-shirt/top", "\u00e9t\u00e9")


def test_names_that_would_be_read_otherwise_are_not_written(tmp_path):
    with pytest.raises(DataError, match=r"printable characters, found 'a\\nb'"):
        write_class_names(["a\nb", "c"], str(tmp_path))
    assert not (tmp_path / "class_names.txt").exists()
