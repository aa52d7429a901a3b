"""The step of every flagfile lowers for a GPU, and what must not be in a step is refused.

With the package `tensorflow-tpu` in place of `tensorflow`, the steps are lowered for a TPU.
"""

import functools
import importlib.metadata
import pathlib
import sys
import types

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.compiler.xla.service import hlo_pb2

from vae_lowlevel.training import step as step_module

ROOT = pathlib.Path(__file__).parents[2]
FLAGFILES = sorted((ROOT / "flags").rglob("*.cfg"))
# Objectives, networks, models and transforms that differ in their operations; the others are slow.
MARKS = {
    "mnist_ladder": [],
    "mnist_dreg_5": [],
    "fashion_conditional": [pytest.mark.long],
    "fashion_resnet_small": [pytest.mark.long],
}
HAS_TPU = "tensorflow-tpu" in importlib.metadata.packages_distributions().get("tensorflow", ())
PLATFORM = "TPU" if HAS_TPU else "GPU"


@pytest.fixture(scope="module")
def lowering():
    """The modules of the package tools/lowering."""
    sys.path.insert(0, str(ROOT / "tools"))
    try:
        from lowering import checks, costs, steps, variables

        return types.SimpleNamespace(checks=checks, costs=costs, steps=steps, variables=variables)
    finally:
        sys.path.remove(str(ROOT / "tools"))


def lower(lowering, function, *specs):
    concrete = tf.function(function).get_concrete_function(*specs)
    return lowering.checks.lower_step(concrete, PLATFORM)


@pytest.mark.parametrize(
    "flagfile",
    [
        pytest.param(path, id=path.stem, marks=MARKS.get(path.stem, [pytest.mark.slow]))
        for path in FLAGFILES
    ],
)
def test_step_lowers(lowering, flagfile):
    step = lowering.steps.trace_step(flagfile)
    module = lowering.checks.lower_step(step.concrete, PLATFORM)
    state = lowering.variables.variable_specs(step.concrete.graph)
    costs = lowering.costs.count_costs(module, state)
    # Each layer with weights has a product forwards and one backwards for its weights.
    weights = [spec for spec in state if len(spec.shape) > 1]
    assert costs.products >= 2 * len(weights) / 3  # w, m, v
    assert costs.flops > 0
    assert costs.bytes > 2 * sum(spec.shape.num_elements() * 4 for spec in weights)


def test_quick_flagfiles_are_shipped():
    assert set(MARKS) <= {path.stem for path in FLAGFILES}


def test_step_that_prints_is_refused(lowering, monkeypatch):
    def print_image(image):
        tf.print(tf.reduce_mean(tf.cast(image, tf.float32)))
        return tf.cast(image, tf.float32) / 255.0

    monkeypatch.setattr(step_module, "to_unit", print_image)
    step = lowering.steps.trace_step(ROOT / "flags/papers/mnist_flax.cfg")
    with pytest.raises(lowering.checks.LoweringError, match="PrintV2"):
        lowering.checks.lower_step(step.concrete, PLATFORM)


def write_file(x):
    tf.io.write_file("never", tf.io.serialize_tensor(x))
    return x


def len_of(text):
    return tf.cast(tf.strings.length(text), tf.float32)


@functools.cache
def generator():
    """Created at the first trace: collecting tests must not start TensorFlow."""
    with tf.init_scope():
        return tf.random.Generator.from_seed(1)


REFUSED = {
    "callback": (lambda x: tf.py_function(tf.square, [x], tf.float32), "EagerPyFunc"),
    "stateless callback": (
        lambda x: tf.numpy_function(np.square, [x], tf.float32, stateful=False),
        "No registered 'PyFuncStateless' OpKernel",
    ),
    "print": (lambda x: tf.print(x) and x, "PrintV2"),
    "file": (write_file, "WriteFile"),
    "text": (tf.strings.as_string, "AsString|string"),
    "unseeded noise": (lambda x: x + tf.random.normal([3]), "RandomStandardNormal.* stateful"),
    "generator": (lambda x: x + generator().normal([3]), "RngReadAndSkip.* stateful"),
    "no kernel": (lambda x: tf.random.stateless_gamma([3], [1, 2], x), "StatelessRandomGammaV"),
    "positions": (lambda x: tf.where(x > 0), "only the data determine"),
    "mask": (lambda x: tf.reduce_sum(tf.boolean_mask(x, x > 0)), "only the data determine"),
    "unique": (lambda x: tf.reduce_sum(tf.unique(x)[0]), "only the data determine"),
    "float64": (lambda x: tf.cast(x, tf.float64) + 1, "float64"),
    "complex128": (lambda x: tf.cast(x, tf.complex128) + 1, "has the type complex128"),
    "constant text": (lambda x: x + len_of("abc"), "Const.* has the type string"),
}


@pytest.mark.parametrize(("function", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(lowering, function, reason):
    with pytest.raises(lowering.checks.LoweringError, match=reason):
        lower(lowering, function, tf.TensorSpec([3]))


def test_unknown_shape_is_refused(lowering):
    with pytest.raises(ValueError, match="static input shape"):
        lower(lowering, lambda x: x + 1, tf.TensorSpec([None]))


def test_unknown_change_of_a_variable_is_refused(lowering):
    variable = tf.Variable(tf.zeros([3]))
    with pytest.raises(lowering.checks.LoweringError, match="ResourceScatterAdd"):
        lower(
            lowering,
            lambda x: variable.scatter_add(tf.IndexedSlices(x, tf.constant([0, 1, 2]))),
            tf.TensorSpec([3]),
        )


@pytest.mark.parametrize("opcode", ["infeed", "outfeed", "send", "recv"])
def test_program_that_waits_for_the_host_is_refused(lowering, opcode):
    module = hlo_pb2.HloModuleProto()
    computation = module.computations.add()
    computation.instructions.add(name="sum.1", opcode="add")
    lowering.checks.check_program(module)
    computation.instructions.add(name="wait.2", opcode=opcode)
    with pytest.raises(lowering.checks.LoweringError, match=r"waits for the host: wait\.2"):
        lowering.checks.check_program(module)


def test_other_platform_needs_another_package(lowering):
    other, package = {"GPU": ("TPU", "tensorflow-tpu"), "TPU": ("GPU", "tensorflow")}[PLATFORM]
    concrete = tf.function(lambda x: x @ x).get_concrete_function(tf.TensorSpec([2, 2]))
    with pytest.raises(lowering.checks.LoweringError, match=f"install {package}"):
        lowering.checks.lower_step(concrete, other)


def test_without_variables_computes_the_same(lowering):
    """A loop, a called function and every change of a variable that steps make."""
    weights, m, v = (tf.Variable(tf.fill([2, 2], value)) for value in (0.5, 0.1, 0.2))
    count, average, other = tf.Variable(3), tf.Variable(tf.ones([2, 2])), tf.Variable(1.0)

    @tf.function
    def loss(x):
        return tf.reduce_sum(tf.square(x @ weights)) * other

    @tf.function
    def block(x, steps):
        total = 0.0
        while count < steps:
            with tf.GradientTape() as tape:
                value = loss(x)
            gradient = tape.gradient(value, weights)
            rates = {"beta1_power": 0.9, "beta2_power": 0.99, "lr": 0.1, "epsilon": 1e-3}
            tf.raw_ops.ResourceApplyAdam(
                var=weights.handle, m=m.handle, v=v.handle, beta1=0.9, beta2=0.99, grad=gradient,
                use_locking=True, **rates,
            )  # fmt: skip
            average.assign_sub(0.1 * (average - weights))
            other.assign(other * 2.0)
            count.assign_add(1)
            total += value
        return total

    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    concrete = block.get_concrete_function(tf.TensorSpec(x.shape), tf.TensorSpec([], tf.int32))
    variables = {id(one.handle): one for one in (weights, m, v, count, average, other)}
    order = [variables[id(handle)] for handle, _ in concrete.graph.captures]
    before = [tf.identity(variable) for variable in order]
    pure, specs = lowering.variables.without_variables(concrete)
    assert [spec.shape for spec in specs[2:]] == [variable.shape for variable in order]
    (total,), after = pure(x, tf.constant(6), *before)
    np.testing.assert_allclose(total, concrete(x, tf.constant(6)), rtol=1e-6)
    for value, variable, start in zip(after, order, before, strict=True):
        np.testing.assert_allclose(value, variable, rtol=1e-6)
        assert not np.array_equal(value, start)


def count(lowering, function, *specs, state=()):
    return lowering.costs.count_costs(lower(lowering, function, *specs), state)


def test_costs_of_a_matrix_product(lowering):
    left, right = tf.TensorSpec([3, 5]), tf.TensorSpec([5, 7])
    costs = count(lowering, tf.matmul, left, right, state=[tf.TensorSpec([10])])
    assert costs == (1, 0, 2 * 3 * 5 * 7, 4 * (3 * 5 + 5 * 7 + 3 * 7) + 2 * 40)
    half = [tf.TensorSpec(spec.shape, tf.bfloat16) for spec in (left, right)]
    assert count(lowering, tf.matmul, *half) == (1, 210, 0, 2 * (15 + 35 + 21))


@pytest.mark.parametrize("stride", [1, 2])
def test_costs_of_a_convolution_leave_out_zeros(lowering, stride):
    """Forwards and backwards, a convolution multiplies the same pairs of pixel and weight."""
    image, kernel = tf.TensorSpec([2, 6, 6, 3]), tf.TensorSpec([3, 3, 3, 4])

    def convolve(x, w):
        return tf.nn.conv2d(x, w, stride, "SAME")

    def differentiate(x, w):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = convolve(x, w)
        return tape.gradient(y, [x, w])

    # Pairs along one axis: 3 taps at 6 places less 2 at the edges, or at 3 places less 1.
    pairs = {1: 16, 2: 8}[stride] ** 2
    flops = 2 * 2 * 3 * 4 * pairs
    forwards = count(lowering, convolve, image, kernel)
    assert (forwards.products, forwards.flops) == (1, flops)
    backwards = count(lowering, differentiate, image, kernel)
    assert (backwards.products, backwards.flops) == (2, 2 * flops)


def test_products_in_an_inner_loop_are_not_guessed(lowering):
    def step(x):
        for _ in tf.range(3):
            for _ in tf.range(4):
                x = x @ x
        return x

    with pytest.raises(ValueError, match="loop of unknown length"):
        count(lowering, step, tf.TensorSpec([2, 2]))


def test_least_time(lowering):
    device = lowering.costs.Device("", bfloat16=100.0, float32=50.0, bandwidth=10.0)
    assert lowering.costs.Costs(1, 100, 100, 20).seconds(device) == (3.0, "compute")
    assert lowering.costs.Costs(1, 100, 0, 20).seconds(device) == (2.0, "memory")
