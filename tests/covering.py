"""Covering arrays: few rows in which every pair of values that go together stands once at least."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Mapping, Sequence

Row = dict[str, str]
Factors = Mapping[str, Sequence[str]]
# A value of one factor and a value of another: ((factor, value), (factor, value)).
Pair = tuple[tuple[str, str], tuple[str, str]]


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
    """Returns the pairs that stand in a row in the order of the factors."""
    return set(itertools.combinations(row.items(), 2))


def covering_array(factors: Factors, is_allowed: Callable[[Row], bool]) -> list[Row]:
    """Builds rows, one value a factor, that have every allowed pair.

    Greedy: a row starts with the first pair that is still missing; each other factor takes the
    value, of those that are allowed beside what the row has, with which most missing pairs are met.

    Args:
        factors: name -> values.
        is_allowed: whether a part of a row, in the order of the factors, goes together. What does
            must have a value of every other factor to go on with.

    References:
        Cohen, Dalal, Fredman, Patton, "The AETG System: An Approach to Testing Based on
        Combinatorial Design", 1997, sec. 3.
    """
    missing = dict.fromkeys(pair for pair in all_pairs(factors) if is_allowed(dict(pair)))
    met = collections.Counter()
    rows = []
    while missing:
        row = dict(next(iter(missing)))
        for factor in factors:
            if factor not in row:
                extended = [ordered(factors, {**row, factor: value}) for value in factors[factor]]
                # Of equals, the value that was in the fewest rows.
                row = max(
                    (candidate for candidate in extended if is_allowed(candidate)),
                    key=lambda candidate, factor=factor: (
                        len(pairs_of(candidate) & missing.keys()),
                        -met[factor, candidate[factor]],
                    ),
                )
        for pair in pairs_of(row):
            missing.pop(pair, None)
        met.update(row.items())
        rows.append(row)
    return rows
