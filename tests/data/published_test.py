from __future__ import annotations

import dataclasses
import gzip
import re

import numpy as np
import pytest

from vae_lowlevel.data import download, published
from vae_lowlevel.data.published import MNIST, PUBLISHED, load_published
from vae_lowlevel.errors import DataError

NAMES = tuple(MNIST.files)


@pytest.fixture
def small_mnist(tmp_path, idx_bytes):
    """A data set of 3 training and 2 test images under the name of mnist, in `tmp_path`."""
    shapes = [(3, 28, 28), (3,), (2, 28, 28), (2,)]
    contents = {
        name: idx_bytes(shape, bytes(np.arange(np.prod(shape), dtype=np.uint8) % 10))
        for name, shape in zip(NAMES, shapes, strict=True)
    }
    for name, content in contents.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
    files = {
        name: download.KnownContent(download.sha256_of(content), len(content))
        for name, content in contents.items()
    }
    return dataclasses.replace(MNIST, files=files)


def test_compressed_files_become_examples(small_mnist, tmp_path):
    train, test = load_published(small_mnist, str(tmp_path))
    assert (train.image.shape, test.image.shape) == ((3, 28, 28, 1), (2, 28, 28, 1))
    assert (train.label.tolist(), test.label.tolist()) == ([0, 1, 2], [0, 1])
    assert train.factors is None


@pytest.mark.parametrize("name", [NAMES[0], NAMES[3]])
def test_a_wrong_sum_names_file_and_sums(small_mnist, tmp_path, name):
    path = tmp_path / f"{name}.gz"
    path.write_bytes(gzip.compress(b"another"))
    found = download.sha256_of(b"another")
    message = (
        rf"{re.escape(str(path))}: .*{small_mnist.files[name].sha256}, found .*{found}.* replace "
        rf".*{name} of mnist, or delete"
    )
    with pytest.raises(DataError, match=message):
        load_published(small_mnist, str(tmp_path))


def test_a_damaged_file_is_named(small_mnist, tmp_path):
    path = tmp_path / f"{NAMES[1]}.gz"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: expected a complete gzip file"):
        load_published(small_mnist, str(tmp_path))


@pytest.mark.parametrize("dataset", PUBLISHED.values(), ids=PUBLISHED)
def test_the_published_facts_are_well_formed(dataset):
    assert PUBLISHED[dataset.name] is dataset
    assert len(set(dataset.class_names)) == 10
    assert all(re.fullmatch(r"[0-9a-f]{64}", known.sha256) for known in dataset.files.values())
    assert all(re.fullmatch(r"https://.*/", mirror) for mirror in dataset.mirrors)
    assert len(dataset.mirrors) > 1


def test_the_classes_of_cifar10_are_in_the_order_of_their_numbers():
    assert list(published.CIFAR10.class_names) == sorted(published.CIFAR10.class_names)
