"""Permutations and draws that are a pure function of numbers, the same with every NumPy."""

from __future__ import annotations

import zlib

import numpy as np


def permutation(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns a permutation of 0..count-1 drawn for a purpose.

    It sorts raw draws, for `Generator.permutation` may change (NEP 19).

    Args:
        count: how many.
        purpose: as in `raw_draws`.
        *numbers: likewise.

    Returns:
        int32 [count].
    """
    return np.argsort(raw_draws(count, purpose, *numbers), kind="stable").astype(np.int32)


def raw_draws(count: int, purpose: str, *numbers: int) -> np.ndarray:
    """Returns the raw output of Philox for a purpose, which NumPy keeps stable across versions.

    Args:
        count: how many.
        purpose: what it is for. The same purpose takes the same number of `numbers` each time:
            NumPy does not tell a seed of (5,) from (5, 0).
        *numbers: whatever else it depends on, each in [0, 2**32).

    Returns:
        uint64 [count].
    """
    return np.random.Philox([zlib.crc32(purpose.encode()), *numbers]).random_raw(count)
