"""Which cases are run: all pairs, few of them, and the product of some factors."""

from __future__ import annotations

import collections
import functools
import itertools
import random
from collections.abc import Callable, Sequence
from typing import Any

import covering
from conformance_cases import Case
from conformance_factors import FACTORS, VALUES, is_allowed


@functools.cache
def covering_cases() -> tuple[Case, ...]:
    """Returns the cases of the ordinary tests, which have every allowed pair of values."""
    # Of the first sixty seeds, this one needs the fewest cases.
    return _take_turns(covering.covering_array(VALUES, is_allowed, seed=0))


@functools.cache
def compiled_cases() -> tuple[Case, ...]:
    """Returns the covering cases that are compiled by XLA, which takes seconds per case.

    They have every value of every flag, and every network both in float32 and in a lower precision.
    """
    return _few_cases(lambda case: (case.row["network"], case.precision == "float32"))


@functools.cache
def dynamic_cases() -> tuple[Case, ...]:
    """Returns the covering cases that are traced for every batch size.

    They have every value of every flag, and every network with every size of images.
    """
    return _few_cases(lambda case: (case.row["network"], case.row["image"]))


def _few_cases(pair: Callable[[Case], tuple[Any, Any]]) -> tuple[Case, ...]:
    kinds = itertools.chain(*(values.values() for values in FACTORS.values()))
    fields = {field for flags in itertools.chain(*kinds) for field in flags}

    def items(case: Case) -> set[tuple[Any, Any]]:
        flags = {item for item in case.config.to_flat().items() if item[0] in fields}
        return {*flags, *case.row.items(), pair(case)}

    return tuple(covering.cover(covering_cases(), items))


# The factors whose product is tried in full: they meet in the arithmetic of one step.
PRODUCT = ("network", "posterior", "prior", "likelihood", "precision")
FAMILIES = {"vae": ("vae", "conditional"), "sparse_autoencoder": ("sparse_autoencoder",)}


@functools.cache
def product_cases() -> tuple[Case, ...]:
    """Returns every allowed combination of `PRODUCT` and `FAMILIES`.

    The values of the other factors are drawn by a generator whose seed is the number of the row.
    """
    rows = []
    products = itertools.product(*(FACTORS[factor] for factor in PRODUCT), FAMILIES.values())
    for number, (*values, models) in enumerate(products):
        generator = random.Random(number)
        row = dict(zip(PRODUCT, values, strict=True)) | {"model": generator.choice(models)}
        if not is_allowed(covering.ordered(VALUES, row)):
            continue
        for factor in VALUES:
            if factor not in row:
                row[factor] = generator.choice(
                    [
                        v
                        for v in VALUES[factor]
                        if is_allowed(covering.ordered(VALUES, {**row, factor: v}))
                    ]
                )
        rows.append(covering.ordered(VALUES, row))
    return _take_turns(rows)


def _take_turns(rows: Sequence[covering.Row]) -> tuple[Case, ...]:
    """Makes cases from rows; successive cases of a value take its kinds in turn."""
    met = collections.Counter()
    cases = []
    for row in rows:
        cases.append(
            Case(row, {factor: met[item] for factor, item in zip(row, row.items(), strict=True)})
        )
        met.update(row.items())
    return tuple(cases)
