"""The cases of the conformance tests leave nothing out that the settings allow."""

from __future__ import annotations

import collections
import dataclasses
import itertools

import pytest
from conformance_factors import EXCLUDED, FACTORS, flags_of
from conformance_selection import compiled_cases, covering_cases, dynamic_cases
from covering import cover

from vae_lowlevel.config import Config, ModelConfig, ObjectiveConfig
from vae_lowlevel.errors import ConfigError


def _values():
    """Returns (factor, value) of all factors."""
    return [(factor, value) for factor, values in FACTORS.items() for value in values]


def _flags():
    """Returns (flag, value) of all kinds of all values."""
    kinds = itertools.chain(*(values.values() for values in FACTORS.values()))
    return [item for flags in itertools.chain(*kinds) for item in flags.items()]


def missing_pairs(cases):
    """Returns the pairs of values of two factors that no case has."""
    missing = set()
    for (first, firsts), (second, seconds) in itertools.combinations(FACTORS.items(), 2):
        met = {(case.row[first], case.row[second]) for case in cases}
        for a, b in set(itertools.product(firsts, seconds)) - met:
            missing.add(((first, a), (second, b)))
    return missing


def used_flags(cases):
    """Returns (flag, value) of the settings of all cases."""
    return {item for case in cases for item in case.config.to_flat().items() if item in _flags()}


def test_cases_have_every_pair_of_values_that_the_settings_allow():
    assert missing_pairs(covering_cases()) == EXCLUDED


@pytest.mark.parametrize("cases", [compiled_cases(), dynamic_cases()])
def test_few_cases_have_every_value(cases):
    assert len(cases) <= len(covering_cases()) // 2
    assert {item for case in cases for item in case.row.items()} == set(_values())
    assert used_flags(cases) >= set(_flags())


def test_every_network_is_compiled_in_float32_and_in_a_lower_precision():
    pairs = {(case.row["network"], case.precision == "float32") for case in compiled_cases()}
    assert pairs == set(itertools.product(FACTORS["network"], [False, True]))


def test_every_network_runs_any_batch_size_for_every_size_of_images():
    pairs = {(case.row["network"], case.row["image"]) for case in dynamic_cases()}
    assert pairs == set(itertools.product(FACTORS["network"], FACTORS["image"]))


def test_a_cover_has_all_items_of_few_candidates():
    candidates = [{1}, {1, 2, 3}, {3, 4}, {2}, {4, 5}, set()]
    assert cover(candidates, lambda candidate: candidate) == [{1, 2, 3}, {4, 5}]


@pytest.mark.long
def test_the_settings_refuse_the_excluded_pairs_and_no_others():
    for (first, firsts), (second, seconds) in itertools.combinations(FACTORS.items(), 2):
        for a, b in itertools.product(firsts, seconds):
            flags = flags_of({first: a, second: b})
            if ((first, a), (second, b)) in EXCLUDED:
                with pytest.raises(ConfigError):
                    Config.from_flat(flags)
            else:
                Config.from_flat(flags)


def test_a_missing_case_is_noticed_by_the_pairs_that_it_alone_has():
    cases = covering_cases()
    met = collections.Counter(
        pair for case in cases for pair in itertools.combinations(case.row.items(), 2)
    )
    alone = {pair for pair in itertools.combinations(cases[0].row.items(), 2) if met[pair] == 1}
    assert alone
    assert missing_pairs(cases[1:]) == EXCLUDED | alone


def test_factors_have_every_choice_of_the_settings():
    listed = collections.defaultdict(set)
    for field, value in _flags():
        listed[field].add(value)
    choices = {
        field.name: set(field.metadata["choices"])
        for group in (ModelConfig, ObjectiveConfig)
        for field in dataclasses.fields(group)
        # A variant is a set of sizes, which these cases set themselves; config_test.py has them.
        if field.metadata["choices"] and field.name != "variant"
    }
    choices["precision"].remove("auto")  # It chooses among the others.
    assert {name: listed[name] for name in choices} == choices


def test_cases_use_every_kind_of_a_value():
    assert used_flags(covering_cases()) >= set(_flags())
