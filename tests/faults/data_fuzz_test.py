"""Damaged data files of every format: a data set, or one clear error, in bounded time and memory.

Where a format has checksums, the data must be those of the undamaged file. Cases "behind" a
checksum damage the content and make the checksum fit again, as a hostile file would.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import io
import pathlib
import random
import resource
import struct
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.config import DataConfig
from vae_lowlevel.data import formats, published
from vae_lowlevel.data.download import KnownContent, sha256_of
from vae_lowlevel.data.images import read_images
from vae_lowlevel.data.load import load_dataset
from vae_lowlevel.data.records.shards import write_records
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.serving.array_checks import unit_images
from vae_lowlevel.types import Examples

MOST_SECONDS = 2.0
MOST_BYTES = 1 << 30  # of address space, in addition to what the process has at the start
COUNT = 24
RNG = np.random.default_rng(0)
IMAGE = RNG.integers(0, 256, [COUNT, 8, 8, 1], np.uint8)
LABEL = (np.arange(COUNT) % 3).astype(np.int32)
SIZES = [*(0, 1, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1), 2**63, 2**64 - 1]


class Case(NamedTuple):
    """A way to a format's parser.

    Attributes:
        content: what is damaged.
        write: (damaged content, folder), writes the files of the data set.
        load: folder -> arrays.
        is_summed: whether checksums cover the data.
    """

    content: bytes
    write: Callable[[bytes, pathlib.Path], object]
    load: Callable[[pathlib.Path], list[np.ndarray]]
    is_summed: bool


def damage(content: bytes, draw: random.Random) -> bytes:
    """Returns the content with one to three kinds of damage."""
    content = bytearray(content)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        # Half of the time among the first bytes, where headers are, or the last ones, of a zip.
        place = draw.randrange(len(content) + 1)
        if draw.random() < 0.5:
            place = min(place, draw.randrange(120))
        elif draw.random() < 0.3:
            place = max(place, len(content) - draw.randrange(1, 200), 0)
        end = min(len(content), place + draw.choice([1, 2, 4, 8, 40, 400]))
        kind = draw.choice(["flip", "set", "cut", "zero", "insert", "delete", "repeat", "length"])
        if kind == "flip" and content:
            content[place % len(content)] ^= 1 << draw.randrange(8)
        elif kind == "set" and content:
            content[place % len(content)] = draw.choice([0, 1, 0x30, 0x39, 0x7F, 0x80, 0xFF])
        elif kind == "cut":
            del content[place:]
        elif kind == "zero":
            content[place:end] = bytes(end - place)
        elif kind == "insert":
            content[place:place] = draw.randbytes(draw.randint(1, 20))
        elif kind == "delete":
            del content[place:end]
        elif kind == "repeat":
            content[place:place] = content[place:end] * draw.choice([1, 2, 50])
        elif kind == "length":
            width = draw.choice([1, 2, 4, 8])
            number = draw.choice(SIZES) % 2 ** (8 * width)
            content[place : place + width] = number.to_bytes(width, draw.choice(["little", "big"]))
    return bytes(content)


def splits_of(dataset) -> list[np.ndarray]:
    """Returns all arrays of a data set, which must be one that training can use."""
    arrays = []
    for split in (dataset.train, dataset.validation, dataset.test):
        examples = split[np.arange(len(split))]
        assert examples.image.dtype == np.uint8
        assert examples.image.shape[1:] == dataset.image_shape
        assert examples.label.dtype == np.int32
        assert examples.label.shape == (len(examples.image),)
        assert examples.label.min(initial=-1) >= -1
        assert examples.label.max(initial=-1) < max(1, dataset.num_classes)
        assert dataset.num_classes <= 1000
        arrays += [examples.image, examples.label]
    return [*arrays, np.array(dataset.class_names)]


def load(dataset: str, folder: pathlib.Path, **settings) -> list[np.ndarray]:
    name = dataset.format(folder)
    return splits_of(load_dataset(DataConfig(dataset=name, image_size=8, **settings)))


def write_to(name: str) -> Callable[[bytes, pathlib.Path], object]:
    return lambda content, folder: (folder / name).write_bytes(content)


def idx(shape, elements) -> bytes:
    return struct.pack(f">4B{len(shape)}I", 0, 0, 8, len(shape), *shape) + elements.tobytes()


def mnist_files() -> dict[str, bytes]:
    image = RNG.integers(0, 256, [3, 28, 28], np.uint8)
    label = np.array([3, 9, 0], np.uint8)
    contents = (idx(image.shape, image), idx(label.shape, label)) * 2
    return dict(zip(published.MNIST.files, contents, strict=True))


def mnist(damaged: str, *, compressed: bool, is_summed: bool) -> Case:
    files = mnist_files()
    suffix = ".gz" if compressed else ""

    def known(content: bytes) -> KnownContent:
        return KnownContent(sha256_of(content), len(content))

    def write(content: bytes, folder: pathlib.Path) -> None:
        for name, original in files.items():
            stored = gzip.compress(original, mtime=0) if compressed else original
            (folder / f"{name}{suffix}").write_bytes(content if name == damaged else stored)

    def load(folder: pathlib.Path) -> list[np.ndarray]:
        sums = {name: known(content) for name, content in files.items()}
        if not is_summed:
            sums[damaged] = known((folder / damaged).read_bytes())
        dataset = dataclasses.replace(published.MNIST, files=sums)
        train, test = published.load_published(dataset, str(folder))
        assert train.label.max() < 10
        assert train.image.shape == (len(train.label), 28, 28, 1)
        return [train.image, train.label, test.image, test.label]

    content = gzip.compress(files[damaged], mtime=0) if compressed else files[damaged]
    return Case(content, write, load, is_summed)


def cifar_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("readme", *formats.CIFAR10_TRAIN, formats.CIFAR10_TEST):
            rows = RNG.integers(0, 256, [1, 3073], np.uint8)
            rows[:, 0] = 4
            member = tarfile.TarInfo(f"{formats.CIFAR10_FOLDER}/{name}")
            member.size = rows.size
            archive.addfile(member, io.BytesIO(rows.tobytes()))
    return buffer.getvalue()


def cifar(*, behind_gzip: bool) -> Case:
    """The archive without its published sum: gzip has one of its own."""
    tar = cifar_tar()

    def write(content: bytes, folder: pathlib.Path) -> None:
        stored = gzip.compress(content, 1) if behind_gzip else content
        (folder / formats.CIFAR10_ARCHIVE).write_bytes(stored)

    def load(folder: pathlib.Path) -> list[np.ndarray]:
        path = folder / formats.CIFAR10_ARCHIVE
        content = path.read_bytes()
        known = KnownContent(sha256_of(content), len(content))
        dataset = dataclasses.replace(published.CIFAR10, files={path.name: known})
        train, test = published.load_published(dataset, str(folder))
        assert train.image.shape == (5, 32, 32, 3)
        assert test.label.max() < 10
        return [train.image, train.label, test.image, test.label]

    return Case(tar if behind_gzip else gzip.compress(tar, mtime=0), write, load, not behind_gzip)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(compressed: bool, **contents: bytes) -> bytes:
    buffer = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, method)
    return buffer.getvalue()


def npz_case(*, compressed: bool) -> Case:
    content = npz(compressed, image=npy(IMAGE), label=npy(LABEL), other=npy(LABEL))
    loads = functools.partial(load, "npz:{}/a.npz")
    return Case(content, write_to("a.npz"), loads, is_summed=True)


def behind_npz(array: str) -> Case:
    contents = {"image": npy(IMAGE), "label": npy(LABEL)}

    def write(content: bytes, folder: pathlib.Path) -> None:
        (folder / "a.npz").write_bytes(npz(True, **{**contents, array: content}))

    return Case(contents[array], write, functools.partial(load, "npz:{}/a.npz"), is_summed=False)


def load_input(folder: pathlib.Path, name: str) -> list[np.ndarray]:
    """As `inference --input`."""
    image = read_images(str(folder / name))
    try:
        return [unit_images(image, (8, 8, 1))]
    except ValueError as error:
        raise DataError(str(error)) from error


def input_case(content: bytes, name: str, *, is_summed: bool) -> Case:
    loads = functools.partial(load_input, name=name)
    return Case(content, write_to(name), loads, is_summed)


def picture(encode, image=IMAGE[0]) -> bytes:
    return encode(image).numpy()


def folder_case(content: bytes, name: str, *, write=None, is_summed: bool) -> Case:
    """A folder of two classes, with one damaged file."""

    def write_all(content: bytes, folder: pathlib.Path) -> None:
        for label in ("a", "b"):
            (folder / label).mkdir()
            (folder / label / "whole.png").write_bytes(picture(tf.io.encode_png, IMAGE[1]))
        (folder / "a" / name).write_bytes(content if write is None else write(content))

    loads = functools.partial(load, "folder:{}")
    return Case(content, write_all, loads, is_summed)


def with_right_sums(png: bytes) -> bytes:
    """Returns a PNG file in which the sum of every chunk fits its content."""
    place, parts = 8, [png[:8]]
    while place + 12 <= len(png):
        length = struct.unpack(">I", png[place : place + 4])[0]
        body = png[place + 4 : place + 8 + length]
        parts += [png[place : place + 4], body, struct.pack(">I", zlib.crc32(body))]
        place += 12 + length
    return b"".join(parts)


def write_shards(folder: pathlib.Path, names: bytes, shard: bytes | None = None) -> None:
    (folder / "class_names.txt").write_bytes(names)
    write_records(Examples(IMAGE, LABEL), str(folder), "train", 2)
    if shard is not None:
        (folder / "train-00001-of-00002.tfrecord").write_bytes(shard)


def records_case(*, streamed: bool) -> Case:
    def loads(folder: pathlib.Path) -> list[np.ndarray]:
        resident_bytes = 0 if streamed else 10**9
        return load("records:{}/*.tfrecord", folder, resident_bytes=resident_bytes)

    def write(content: bytes, folder: pathlib.Path) -> None:
        write_shards(folder, b"a\nb\nc\n", content)

    return Case(odd_rows(), write, loads, is_summed=True)


@functools.cache
def odd_rows() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        files = write_records(Examples(IMAGE, LABEL), folder, "train", 2)
        return pathlib.Path(files[1]).read_bytes()


def behind_records() -> Case:
    """One record, in frames whose sums fit."""
    length = struct.unpack("<Q", odd_rows()[:8])[0]

    def write(content: bytes, folder: pathlib.Path) -> None:
        write_shards(folder, b"a\nb\nc\n")
        with tf.io.TFRecordWriter(str(folder / "other.tfrecord")) as writer:
            writer.write(content)

    loads = functools.partial(load, "records:{}/*.tfrecord")
    return Case(odd_rows()[12 : 12 + length], write, loads, is_summed=False)


def class_names_case() -> Case:
    def write(content: bytes, folder: pathlib.Path) -> None:
        write_shards(folder, content)

    loads = functools.partial(load, "records:{}/*.tfrecord")
    return Case(b"cat\ndog\nT-shirt/top\n", write, loads, is_summed=False)


TRAIN_IMAGES, TRAIN_LABELS = formats.TRAIN_IMAGES, formats.TRAIN_LABELS
CASES = {
    "idx": lambda: mnist(TRAIN_IMAGES, compressed=False, is_summed=True),
    "idx.gz": lambda: mnist(TRAIN_LABELS, compressed=True, is_summed=True),
    "idx behind its sum": lambda: mnist(TRAIN_IMAGES, compressed=False, is_summed=False),
    "idx labels behind their sum": lambda: mnist(TRAIN_LABELS, compressed=False, is_summed=False),
    "cifar": lambda: cifar(behind_gzip=False),
    "cifar behind gzip": lambda: cifar(behind_gzip=True),
    "npz": lambda: npz_case(compressed=False),
    "npz deflated": lambda: npz_case(compressed=True),
    "npz behind its sums": lambda: behind_npz("image"),
    "npz labels behind their sum": lambda: behind_npz("label"),
    "input npy": lambda: input_case(npy(IMAGE / np.float32(255)), "x.npy", is_summed=False),
    "input npz": lambda: input_case(npz(True, image=npy(IMAGE)), "x.npz", is_summed=True),
    "input png": lambda: input_case(picture(tf.io.encode_png), "x.png", is_summed=True),
    "folder png": lambda: folder_case(picture(tf.io.encode_png), "x.png", is_summed=True),
    "folder png behind its sums": lambda: folder_case(
        picture(tf.io.encode_png), "x.png", write=with_right_sums, is_summed=False
    ),
    "folder jpeg": lambda: folder_case(
        picture(tf.io.encode_jpeg, RNG.integers(0, 256, [40, 30, 3], np.uint8)),
        "x.jpg",
        is_summed=False,
    ),
    "records": lambda: records_case(streamed=False),
    "records streamed": lambda: records_case(streamed=True),
    "records behind their sums": behind_records,
    "class names": class_names_case,
}


@pytest.fixture(autouse=True)
def limited(monkeypatch):
    """Files of one row per batch of CIFAR-10, and a limit of memory."""
    monkeypatch.setattr(formats, "CIFAR10_ROWS", 1)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MOST_BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def run(case: Case, seeds, folder: pathlib.Path) -> dict[str, int]:
    """Loads damaged files; returns how many were loaded and how many refused."""
    whole = folder / "whole"
    whole.mkdir()
    case.write(case.content, whole)
    wanted = case.load(whole)
    counts = {"loaded": 0, "refused": 0}
    for seed in seeds:
        damaged = folder / str(seed)
        damaged.mkdir()
        case.write(damage(case.content, random.Random(seed)), damaged)
        started = time.monotonic()
        try:
            found = case.load(damaged)
        except (DataError, ConfigError):
            counts["refused"] += 1
        except Exception as error:
            raise AssertionError(f"seed {seed}: {error!r}") from error
        else:
            counts["loaded"] += 1
            if case.is_summed:
                same = map(np.array_equal, found, wanted)
                assert all(same), f"seed {seed}: other data"
        assert time.monotonic() - started < MOST_SECONDS, f"seed {seed}"
    return counts


@pytest.mark.parametrize("name", CASES)
def test_damaged_files_are_data_sets_or_clear_errors(name, tmp_path):
    counts = run(CASES[name](), range(10), tmp_path)
    assert counts["refused"] > 0


@pytest.mark.faults
@pytest.mark.parametrize("name", CASES)
def test_many_damaged_files_are_data_sets_or_clear_errors(name, tmp_path, count):
    counts = run(CASES[name](), range(1000, 1150), tmp_path)
    count(f"damaged files: {name}", **counts)
    assert counts["refused"] > 0
