from __future__ import annotations

import numpy as np
import pytest

from vae_lowlevel.data.splits import split_test, split_validation, validation_size
from vae_lowlevel.errors import ConfigError, DataError


@pytest.mark.parametrize(("count", "size"), [(2, 1), (9, 1), (10, 1), (47, 4)])
def test_a_tenth_is_the_test_split(count, size):
    kept, held_out = split_test(count)
    assert len(held_out) == size
    np.testing.assert_array_equal(np.sort(np.concatenate([kept, held_out])), np.arange(count))
    assert np.all(np.diff(kept) > 0)
    assert np.all(np.diff(held_out) > 0)


@pytest.mark.parametrize(
    ("count", "given", "size"),
    [
        (9, None, 0),
        (100, None, 10),
        (49_999, None, 4999),
        (50_000, None, 5000),
        (60_000, None, 5000),
        (100, 0, 0),
        (100, 30, 30),
        (100, 5000, 5000),
    ],
)
def test_a_tenth_up_to_5000_is_the_default_validation_split(count, given, size):
    assert validation_size(count, given) == size


def test_a_smaller_validation_split_is_part_of_a_larger_one():
    splits = [split_validation(50, size) for size in (0, 3, 20, 49)]
    for size, (kept, held_out) in zip((0, 3, 20, 49), splits, strict=True):
        assert (len(kept), len(held_out)) == (50 - size, size)
        assert set(kept) | set(held_out) == set(range(50))
    assert set(splits[1][1]) < set(splits[2][1]) < set(splits[3][1])


def test_too_few_examples_are_refused():
    with pytest.raises(DataError, match=r"at least 2 images, .* found 1"):
        split_test(1)
    with pytest.raises(ConfigError, match=r"--validation_size=5 must be less than the 5 training"):
        split_validation(5, 5)
