"""What must hold for every model that the settings can describe.

The cases cover every pair of choices; `conformance_product_test.py` has the product.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf
from conformance_cases import (
    EXCLUDED,
    FACTORS,
    B,
    D,
    K,
    assert_close,
    check_step,
    covering_cases,
    flags_of,
)

from vae_lowlevel import assembly
from vae_lowlevel.config import Config, ModelConfig, ObjectiveConfig, OptimizerConfig
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.randomness import make_seed


def all_cases():
    return [pytest.param(case, id=case.name) for case in covering_cases()]


@pytest.fixture(scope="module", params=all_cases())
def case(request):
    return request.param


def missing_pairs(cases):
    """Returns the pairs of values of two factors that stand in none of the cases."""
    missing = set()
    for (first, firsts), (second, seconds) in itertools.combinations(FACTORS.items(), 2):
        met = {(case.row[first], case.row[second]) for case in cases}
        for a, b in set(itertools.product(firsts, seconds)) - met:
            missing.add(((first, a), (second, b)))
    return missing


def test_cases_have_every_pair_of_choices_that_the_settings_allow():
    """Each case runs eager, traced and compiled, so the pairs with these are had as well."""
    assert missing_pairs(covering_cases()) == EXCLUDED


def test_the_settings_refuse_the_excluded_pairs_and_no_others():
    for (first, firsts), (second, seconds) in itertools.combinations(FACTORS.items(), 2):
        for a, b in itertools.product(firsts, seconds):
            flags = flags_of({first: a, second: b})
            if ((first, a), (second, b)) in EXCLUDED:
                with pytest.raises(ConfigError):
                    Config.from_flat(flags)
            else:
                Config.from_flat(flags)


def test_a_case_that_is_left_out_is_noticed_by_the_pairs_it_has_alone():
    cases = covering_cases()
    met = collections.Counter(
        pair for case in cases for pair in itertools.combinations(case.row.items(), 2)
    )
    alone = {pair for pair in itertools.combinations(cases[0].row.items(), 2) if met[pair] == 1}
    assert alone
    assert missing_pairs(cases[1:]) == EXCLUDED | alone


def test_factors_leave_no_choice_of_the_settings_out():
    listed = collections.defaultdict(set)
    for values in FACTORS.values():
        for flags in itertools.chain(*values.values()):
            for field, value in flags.items():
                listed[field].add(value)
    choices = {
        field.name: set(field.metadata["choices"])
        for group in (ModelConfig, ObjectiveConfig)
        for field in dataclasses.fields(group)
        # A variant is but sizes, and those here are given over it; config_test.py has them all.
        if field.metadata["choices"] and field.name != "variant"
    }
    assert {name: listed[name] for name in choices} == choices


def test_cases_use_every_kind_of_a_value():
    used = collections.defaultdict(set)
    for case in covering_cases():
        for field, value in case.config.to_flat().items():
            used[field].add(value)
    for values in FACTORS.values():
        for flags in itertools.chain(*values.values()):
            for field, value in flags.items():
                assert value in used[field], (field, value)


def test_eager_traced_and_compiled_steps_agree(case):
    check_step(case)


def test_any_batch_size_runs_in_one_trace_with_known_shapes(case):
    model = case.build()
    image_spec = tf.TensorSpec([None, *case.image_shape], tf.float32)
    seed_spec = tf.TensorSpec([2], tf.int32)

    def run(image, seed):
        given = model.conditioned_on(tf.range(tf.shape(image)[0]) % K)
        if case.config.model.model == "vae":
            return given(image, seed)
        return {"reconstruction": given.reconstruct(image), **given.describe(image)}

    traced = tf.function(run, input_signature=[image_spec, seed_spec])
    shapes = traced.get_concrete_function().structured_outputs
    image_shape = [None, *case.image_shape]
    assert shapes["reconstruction"].shape.as_list() == image_shape
    latents = ("z_mean", "z_log_var", "z") if case.config.model.model == "vae" else ("code",)
    for name in latents:
        if (name, case.config.model.posterior) != ("z_log_var", "full"):
            assert shapes[name].shape.as_list() == [None, D]
    for batch in (1, B):
        output = traced(case.images(batch), make_seed(0))
        assert output["reconstruction"].shape == [batch, *case.image_shape]
        assert_close(output, run(case.images(batch), make_seed(0)), case.tolerance)
    assert traced.experimental_get_tracing_count() == 1


def test_outputs_are_float32_images_in_range(case):
    model = case.build()
    images = [case.given(model).reconstruct(case.images())]
    if case.config.model.model == "vae":
        images.append(model.sample(2, make_seed(0)))
    for image in images:
        assert image.dtype == tf.float32
        assert image.shape[1:] == case.image_shape
        assert np.all((image.numpy() >= 0) & (image.numpy() <= 1))


def test_rows_of_a_batch_are_computed_apart(case):
    model = case.build()
    together = case.given(model).reconstruct(case.images())
    alone = model.conditioned_on(tf.constant([1])).reconstruct(case.images()[1:2])
    assert_close(alone, together[1:2], case.tolerance)


def test_checkpoint_gives_back_every_variable(case, tmp_path):
    def build(seed):
        model = case.build(seed)
        return model, assembly.build_optimizer(OptimizerConfig(), model)

    saved_model, saved_optimizer = build(seed=1)
    for number, variable in enumerate([*saved_model.variables, *saved_optimizer.variables]):
        variable.assign(tf.cast(tf.fill(variable.shape, number + 0.5), variable.dtype))
    path = tf.train.Checkpoint(model=saved_model, optimizer=saved_optimizer).write(
        str(tmp_path / "checkpoint")
    )
    model, optimizer = build(seed=2)
    status = tf.train.Checkpoint(model=model, optimizer=optimizer).read(path)
    status.assert_consumed()
    restored = [*model.variables, *optimizer.variables]
    for variable, saved in zip(
        restored, [*saved_model.variables, *saved_optimizer.variables], strict=True
    ):
        np.testing.assert_array_equal(variable, saved)
