from __future__ import annotations

import re

import numpy as np
import pytest

from vae_lowlevel.data import formats
from vae_lowlevel.errors import DataError

NAMES = (
    formats.TRAIN_IMAGES,
    formats.TRAIN_LABELS,
    formats.TEST_IMAGES,
    formats.TEST_LABELS,
)
PATHS = {name: f"/data/{name}" for name in NAMES}


@pytest.fixture
def content(idx_bytes):
    """Five training and two test images."""
    train, test = (np.random.default_rng(n).integers(0, 256, [n, 28, 28], "u1") for n in (5, 2))
    arrays = (train, np.array([4, 3, 2, 1, 0], "u1"), test, np.array([7, 9], "u1"))
    return {
        name: idx_bytes(array.shape, array.tobytes())
        for name, array in zip(NAMES, arrays, strict=True)
    }


def test_idx_files_become_two_splits(content):
    train, test = formats.parse_mnist(content, PATHS)
    expected = np.random.default_rng(5).integers(0, 256, [5, 28, 28, 1], "u1")
    np.testing.assert_array_equal(train.image, expected)
    assert train.image.dtype == np.uint8
    assert train.label.dtype == np.int32
    assert (train.label.tolist(), test.label.tolist()) == ([4, 3, 2, 1, 0], [7, 9])
    assert test.image.shape == (2, 28, 28, 1)
    train.image[0, 0, 0] = 1  # Writable.


@pytest.mark.parametrize("name", [formats.TRAIN_IMAGES, formats.TEST_LABELS])
@pytest.mark.parametrize(
    "damage",
    [
        lambda file: b"",
        lambda file: file[:3],
        lambda file: b"\0\0\x09" + file[3:],
        lambda file: file[:3] + bytes([file[3] + 1]) + file[4:],
        lambda file: file[:-1],
        lambda file: file + b"\0",
        lambda file: b"<!DOCTYPE html>",
    ],
    ids=["empty", "short", "dtype", "rank", "cut", "longer", "page"],
)
def test_other_content_is_named(content, name, damage):
    damaged = damage(content[name])
    message = rf"^/data/{name}: expected an IDX file of uint8 \['N'.*found {len(damaged)} bytes"
    with pytest.raises(DataError, match=message):
        formats.parse_mnist({**content, name: damaged}, PATHS)


def test_images_of_another_size_are_refused(content, idx_bytes):
    content[formats.TEST_IMAGES] = idx_bytes((2, 56, 14), bytes(2 * 28 * 28))
    with pytest.raises(DataError, match=re.escape("['N', 28, 28]")):
        formats.parse_mnist(content, PATHS)
