"""Compares training steps: what rounding may change, and no more.

The expected step is the eager one in float32, of the same weights, data and noise. Differences are
counted in the unit round-off u of a number format, the largest relative error of rounding once:
2^-8 in bfloat16, 2^-11 in float16, 2^-24 in float32. A correct step rounds each hidden value, so in
every format it differs by a few u. `docs/conformance.md` has the largest differences of all cases.
"""

from __future__ import annotations

import contextlib
from typing import NamedTuple
from unittest import mock

import numpy as np
import tensorflow as tf
from conformance_cases import B, Case, Step

UNIT = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}

# Terms below 1 nat are compared with 1 nat: the KL from a learned prior can be nearly 0, as the
# difference of two log-densities that are not.
IN_NATS = {"loss", "elbo", "bound", "distortion", "rate", "reconstruction", "penalty"}
IN_NATS |= {"mutual_information", "total_correlation", "dimension_kl"}

# The gradient of a variable is compared with at least this part of the gradient of all variables.
SMALLEST_SHARE = 0.01

# The last four of the 24 bits of a float32. In numbers of bfloat16 or float16 they are 0.
LAST_BITS = 0xF


class Differences(NamedTuple):
    """How far a step is from the expected one, or how far it may be; in u of its precision.

    Attributes:
        term: largest relative error of a term over the batch, ||a - b|| / ||b||.
        angle: between the gradients of all variables: sqrt(2 - 2 cosine).
        norm: relative error of the norm of the gradient of all variables.
        variable: largest relative error of the gradient of a variable, ||a - b|| / ||b||.
        median: the median of the variables in place of the largest.
    """

    term: float
    angle: float
    norm: float
    variable: float
    median: float


# About twice the largest differences of all cases of the product. Where rounding turns a unit of a
# relu on or off, the gradient changes by about the square root of u. In float32, XLA's exp and tanh
# are less accurate than TensorFlow's.
BOUNDS = {
    "float32": Differences(term=60, angle=400, norm=200, variable=2000, median=32),
    "float32 with relu": Differences(term=60, angle=400, norm=200, variable=2000, median=32),
    "bfloat16": Differences(term=15, angle=12, norm=12, variable=30, median=6),
    "bfloat16 with relu": Differences(term=10, angle=25, norm=10, variable=80, median=18),
    "float16": Differences(term=20, angle=15, norm=13, variable=45, median=16),
    "float16 with relu": Differences(term=15, angle=120, norm=32, variable=200, median=22),
}
# The same for the relative errors of outputs.
OUTPUTS = {"float32": 15, "bfloat16": 5, "float16": 9}
# The terms of the same networks with the distributions of the reference, in u of float32.
FLOAT32_PARTS = 4


def relative_error(found: tf.Tensor, expected: tf.Tensor, least: float = 0.0) -> float:
    """Returns ||found - expected|| / max(||expected||, least), in float64."""
    found, expected = np.asarray(found, np.float64), np.asarray(expected, np.float64)
    size = max(float(np.linalg.norm(expected)), least)
    difference = float(np.linalg.norm(found - expected))
    return difference / size if size else difference


def measure(found: Step, expected: Step, precision: str) -> Differences:
    """Measures how far a step is from the expected one.

    Raises:
        AssertionError: a number is not finite, or has another type or shape than expected.
    """
    for a, b in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        assert a.dtype == b.dtype == tf.float32
        assert a.shape == b.shape
        assert np.all(np.isfinite(a))
    a, b = (
        np.concatenate([np.ravel(gradient) for gradient in step.gradients]).astype(np.float64)
        for step in (found, expected)
    )
    norm_a, norm_b = np.linalg.norm(a), np.linalg.norm(b)
    term = max(
        relative_error(found.terms[name], values, np.sqrt(B) if name in IN_NATS else 0.0)
        for name, values in expected.terms.items()
    )
    variables = [
        relative_error(x, y, SMALLEST_SHARE * norm_b)
        for x, y in zip(found.gradients, expected.gradients, strict=True)
    ]
    # The distance of the two directions is sqrt(2 - 2 cosine) without the cosine's own rounding.
    angle = np.linalg.norm(a / norm_a - b / norm_b)
    norm = abs(norm_a / norm_b - 1.0)
    values = (term, angle, norm, max(variables), np.median(variables))
    return Differences(*(float(x) / UNIT[precision] for x in values))


def kind_of(case: Case) -> str:
    """Returns the kind of a case, by which the bounds differ."""
    return case.precision + (" with relu" if case.has_kink else "")


def bounds(case: Case) -> Differences:
    """Returns the largest differences that are allowed."""
    most = BOUNDS[kind_of(case)]
    if case.precision == "float32" and case.row["objective"] in ("iwae", "dreg"):
        # Importance weights are exponentials: rounding of a log-weight of some hundred nats is
        # that of the weight a hundred times.
        return most._replace(angle=4 * most.angle, norm=4 * most.norm, median=4 * most.median)
    return most


def check_step(case: Case, found: Step) -> Differences:
    """Checks a step of the case's model in its precision.

    Returns:
        The differences from the float32 step.
    """
    differences, most = measure(found, case.reference_step, case.precision), bounds(case)
    too_large = {
        name: f"{value:.3g} u, allowed {getattr(most, name)} u"
        for name, value in differences._asdict().items()
        if not value <= getattr(most, name)
    }
    assert not too_large, too_large
    check_parts(case, found)
    return differences


def check_parts(case: Case, step: Step) -> None:
    """Checks that every variable has a part in the loss."""
    # Below the free bits, the loss does not depend on the prior.
    free = case.model.prior.trainable_variables if case.config.objective.free_bits else ()
    exempt = {variable.ref() for variable in free}
    idle = [
        f"{index} {variable.name}"
        for index, variable in enumerate(case.model.trainable_variables)
        if variable.ref() not in exempt and not np.any(step.gradients[index])
    ]
    assert not idle, idle


def check_float32_parts(case: Case, model: tf.Module, found: Step) -> None:
    """Checks that the distributions and the layer before them are computed in float32.

    Their own rounding would be hidden by that of the layers before them. So the terms are compared
    with those of a model that has this one's networks and the distributions of the reference, and
    the parameters of the posterior must have digits that the lower precision does not have.
    """
    with contextlib.ExitStack() as stack:
        parts = ["encoder", "decoder"]
        if case.config.model.prior == "vamp":
            # The prior is made of posteriors of this encoder.
            parts.append("prior")
        for part in parts:
            stack.enter_context(mock.patch.object(case.reference, part, getattr(model, part)))
        expected = case.make_terms(case.reference)(case.images, case.labels)._asdict()
    for name, values in expected.items():
        difference = relative_error(found.terms[name], values) / UNIT["float32"]
        assert difference <= FLOAT32_PARTS, f"{name}: {difference:.3g} u of float32"
    parameters = model.conditioned_on(case.labels).encoder(case.images)
    is_float32 = parameters.dtype == tf.float32
    is_float32 = is_float32 and np.any(np.asarray(parameters).view(np.uint32) & LAST_BITS)
    assert is_float32, "the last layer of the encoder is not in float32"


def check_outputs(case: Case, found: dict[str, tf.Tensor], expected: dict[str, tf.Tensor]) -> None:
    """Checks outputs of the case's model, or of some rows, against those of the reference."""
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].dtype == values.dtype == tf.float32
        assert found[name].shape == values.shape
        difference = relative_error(found[name], values) / UNIT[case.precision]
        most = OUTPUTS[case.precision]
        assert difference <= most, f"{name}: {difference:.3g} u, allowed {most} u"
