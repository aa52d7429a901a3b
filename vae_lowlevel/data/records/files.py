"""Finds shards and the class names next to them."""

from __future__ import annotations

import glob
import os
import re
from collections import defaultdict
from collections.abc import Sequence

from vae_lowlevel.errors import DataError

CLASS_NAMES_FILE = "class_names.txt"
_MOST_NAMES_BYTES = 1 << 20
_SHARD_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.tfrecord", re.DOTALL)


def find_shards(pattern: str) -> tuple[list[str], list[str]]:
    """Returns the training shards and the test shards that match a pattern, sorted.

    Shards whose file names begin with `test` are the test split, all others the training split.

    Args:
        pattern: a path with `*`, `?` and `[...]`, such as `/data/mine/*.tfrecord`.

    Raises:
        DataError: there is no training shard, a shard of `tools/make_records` is missing, or those
            of two data sets are mixed.
    """
    files = sorted(glob.glob(os.path.expanduser(pattern)))
    files = [file for file in files if os.path.isfile(file)]
    test_files = [file for file in files if os.path.basename(file).startswith("test")]
    train_files = [file for file in files if file not in test_files]
    if not train_files:
        found = f"only the test shards {', '.join(test_files)}" if test_files else "no file"
        raise DataError(f"{pattern}: expected training shards, found {found}")
    _check_complete(files)
    return train_files, test_files


def _check_complete(files: Sequence[str]) -> None:
    """Checks that the shards are those of one writing, and that none is lost.

    A pattern may leave out shards that exist.
    """
    counts = defaultdict(set)
    for file in files:
        if match := _SHARD_NAME.fullmatch(file):
            counts[match[1]].add(int(match[3]))
    for start, numbers in counts.items():
        if len(numbers) > 1:
            raise DataError(
                f"{start}-*: expected the shards of one data set, found files of "
                f"{' and of '.join(map(str, sorted(numbers)))} shards; delete those of the older "
                "data set"
            )
        (count,) = numbers
        for shard in range(count):
            if not os.path.isfile(path := shard_path(start, shard, count)):
                raise DataError(f"{path}: expected this shard next to the others, found no file")


def shard_path(start: str, shard: int, count: int) -> str:
    """Returns the path of a shard: `<start>-<number>-of-<count>.tfrecord`."""
    return f"{start}-{shard:05d}-of-{count:05d}.tfrecord"


def read_class_names(files: Sequence[str]) -> tuple[str, ...]:
    """Returns the class names next to the first shard; without that file, an empty tuple.

    Raises:
        DataError: the file is not UTF-8 text with one name per line, each of them once.
    """
    path = os.path.join(os.path.dirname(files[0]), CLASS_NAMES_FILE)
    if not os.path.isfile(path):
        return ()
    expected = f"{path}: expected UTF-8 text of at most {_MOST_NAMES_BYTES} bytes, one class "
    with open(path, "rb") as file:
        content = file.read(_MOST_NAMES_BYTES + 1)
    try:
        names = content.decode("utf-8").replace("\r\n", "\n").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{expected}name per line, found: {error}") from error
    if len(content) > _MOST_NAMES_BYTES:
        raise DataError(f"{expected}name per line, found a larger file")
    if not all(name.isprintable() and name.strip() for name in names):
        raise DataError(f"{expected}name per line, found a line without one")
    if len(set(names)) != len(names):
        raise DataError(f"{expected}name per line, found the same name twice")
    return tuple(names)
