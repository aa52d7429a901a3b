"""The product of the choices that meet in the arithmetic of a step; takes half an hour or more.

`docs/conformance.md` is made from its reports and has the commands.
"""

from __future__ import annotations

import functools
import json

import pytest
import tensorflow as tf
from conformance_checks import bounds, check_float32_parts, check_step, kind_of
from conformance_selection import product_cases

COMPILERS = {
    "traced": tf.function,
    "compiled": functools.partial(tf.function, jit_compile=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in product_cases()])
def test_step_is_that_of_float32(case, record_property):
    record_property("kind", kind_of(case))
    record_property("allowed", json.dumps(bounds(case)._asdict()))
    if case.precision != "float32":
        record_property("eager", json.dumps(check_step(case, case.step)._asdict()))
        check_float32_parts(case, case.model, case.step)
    for way, compiler in COMPILERS.items():
        compute = compiler(case.make_step(case.model, case.loss_scale))
        differences = check_step(case, compute(case.images, case.labels))
        record_property(way, json.dumps(differences._asdict()))
