"""What must hold for every model that the settings can describe.

The cases have every pair of values; `conformance_product_test.py` has the product.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest
import tensorflow as tf
from conformance_cases import outputs_of
from conformance_checks import check_float32_parts, check_outputs, check_step
from conformance_factors import D
from conformance_selection import compiled_cases, covering_cases, dynamic_cases

from vae_lowlevel import assembly
from vae_lowlevel.config import OptimizerConfig
from vae_lowlevel.randomness import make_seed


def parameters(cases):
    """Residual networks take most of the time."""
    return [
        pytest.param(
            case,
            id=case.name,
            marks=[pytest.mark.long] if case.row["network"] == "resnet" else [],
        )
        for case in cases
    ]


# Of the module, so that the tests of a case run one after another and share its model.
@pytest.fixture(scope="module", params=parameters(covering_cases()))
def case(request):
    return request.param


def test_eager_step_is_that_of_float32(case):
    check_step(case, case.step)
    if case.precision != "float32":
        check_float32_parts(case, case.model, case.step)


# The compiled cases are traced too.
UNCOMPILED = [case for case in covering_cases() if case not in compiled_cases()]


@pytest.mark.parametrize("case", parameters(UNCOMPILED))
def test_traced_step_is_that_of_float32(case):
    compute = tf.function(case.make_step(case.model, case.loss_scale))
    check_step(case, compute(case.images, case.labels))


@pytest.mark.parametrize("case", parameters(compiled_cases()))
def test_compiled_step_is_that_of_float32(case):
    compute = tf.function(case.make_step(case.model, case.loss_scale), jit_compile=True)
    check_step(case, compute(case.images, case.labels))


def test_outputs_are_those_of_float32_in_a_batch_and_alone(case):
    check_all_outputs(case, functools.partial(outputs_of, case.model))
    image = case.model.conditioned_on(case.labels).reconstruct(case.images)
    images = [image, case.model.sample(2, make_seed(0))] if case.model.has_prior else [image]
    for image in images:
        assert image.dtype == tf.float32
        assert image.shape[1:] == case.image_shape
        assert np.all((image.numpy() >= 0) & (image.numpy() <= 1))


@pytest.mark.parametrize("case", parameters(dynamic_cases()))
def test_any_batch_size_runs_in_one_trace_with_known_shapes(case):
    specs = [
        tf.TensorSpec([None, *case.image_shape], tf.float32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([2], tf.int32),
    ]
    traced = tf.function(functools.partial(outputs_of, case.model), input_signature=specs)
    outputs = traced.get_concrete_function().structured_outputs
    shapes = {name: spec.shape.as_list() for name, spec in outputs.items()}
    image_shape = [None, *case.image_shape]
    assert shapes.pop("likelihood_parameters")[:3] == image_shape[:3]
    assert shapes.pop("mean_image") == image_shape
    assert shapes.pop("reconstruction", image_shape) == image_shape
    if case.config.model.posterior == "full":
        assert shapes.pop("z_scale_tril") == [None, D, D]
        assert shapes == {"z_mean": [None, D], "z": [None, D]}
    elif case.model.has_prior:
        assert shapes == {name: [None, D] for name in ("z_mean", "z_log_var", "z")}
    else:
        assert shapes == {"code": [None, D]}
    check_all_outputs(case, traced)
    assert traced.experimental_get_tracing_count() == 1


def check_all_outputs(case, compute):
    """Checks the outputs of a batch, and of one of its rows alone."""
    images, labels, seed = case.images, case.labels, make_seed(0)
    expected = outputs_of(case.reference, images, labels, seed)
    check_outputs(case, compute(images, labels, seed), expected)
    row = slice(1, 2)
    alone = compute(images[row], labels[row], seed)
    # The draw of z depends on the batch size.
    same = [name for name in expected if name not in ("z", "reconstruction")]
    check_outputs(case, {n: alone[n] for n in same}, {n: expected[n][row] for n in same})


@pytest.mark.parametrize("case", parameters(compiled_cases()))
def test_checkpoint_restores_every_variable(case, tmp_path):
    def build(seed):
        model = case.build(seed)
        return model, assembly.build_optimizer(OptimizerConfig(), model.trainable_variables)

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
