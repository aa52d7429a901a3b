"""Covering arrays: few rows in which every allowed pair of values is found at least once."""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

Row = dict[str, str]
Factors = Mapping[str, Sequence[str]]
# A value of one factor and a value of another: ((factor, value), (factor, value)).
Pair = tuple[tuple[str, str], tuple[str, str]]
T = TypeVar("T")


def all_pairs(factors: Factors) -> list[Pair]:
    """Returns every pair of values of two factors, in the order of the factors."""
    return [
        ((first, a), (second, b))
        for first, second in itertools.combinations(factors, 2)
        for a, b in itertools.product(factors[first], factors[second])
    ]


def ordered(factors: Factors, row: Row) -> Row:
    """Returns a row, or a part of one, in the order of the factors."""
    return {factor: row[factor] for factor in factors if factor in row}


def pairs_of(row: Row) -> set[Pair]:
    """Returns the pairs of a row whose values are in the order of the factors."""
    return set(itertools.combinations(row.items(), 2))


def covering_array(
    factors: Factors, is_allowed: Callable[[Row], bool], *, candidates: int = 10, seed: int = 0
) -> list[Row]:
    """Builds rows, with one value per factor, that have every allowed pair.

    Greedy: each row is the one of several candidates that has the most missing pairs. A candidate
    starts with a missing pair. Each other factor, in random order, takes the allowed value that
    adds the most missing pairs.

    Args:
        factors: name -> values.
        is_allowed: whether the values of a part of a row, in the order of the factors, fit
            together. Each allowed part must have an allowed value of every other factor.
        candidates: number of candidates per row.
        seed: of the random choices.

    References:
        Cohen, Dalal, Fredman, Patton, "The AETG System: An Approach to Testing Based on
        Combinatorial Design", 1997, sec. 3.
    """
    generator = random.Random(seed)
    missing = dict.fromkeys(pair for pair in all_pairs(factors) if is_allowed(dict(pair)))
    met = collections.Counter()
    rows = []

    def count(row: Row) -> int:
        return len(pairs_of(row) & missing.keys())

    def make_candidate() -> Row:
        row = dict(generator.choice(list(missing)))
        for factor in generator.sample(list(factors), len(factors)):
            if factor not in row:
                extended = [ordered(factors, {**row, factor: value}) for value in factors[factor]]
                # Among equals, the value that is in the fewest rows.
                row = max(
                    filter(is_allowed, extended),
                    key=lambda row, factor=factor: (count(row), -met[factor, row[factor]]),
                )
        return ordered(factors, row)

    while missing:
        row = max((make_candidate() for _ in range(candidates)), key=count)
        for pair in pairs_of(row):
            missing.pop(pair, None)
        met.update(row.items())
        rows.append(row)
    return rows


def cover(candidates: Sequence[T], items: Callable[[T], set]) -> list[T]:
    """Chooses few candidates that together have every item of all candidates.

    Greedy: the next candidate is the first one that adds the most missing items.

    Args:
        candidates: what to choose from.
        items: candidate -> its items.
    """
    missing = set().union(*map(items, candidates))
    chosen = []
    while missing:
        best = max(candidates, key=lambda candidate: len(items(candidate) & missing))
        missing -= items(best)
        chosen.append(best)
    return chosen
