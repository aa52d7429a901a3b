"""What must hold for every model that the settings can describe, over one list."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel import assembly
from vae_lowlevel.config import ModelConfig, ObjectiveConfig, OptimizerConfig
from vae_lowlevel.randomness import make_seed
from vae_lowlevel.types import Batch

# Strides of 2 and 2 divide none of the sizes but 8.
CASES = [
    # network, likelihood, precision, activation, image shape
    ("resnet", "bernoulli", "float32", "relu", (7, 10, 1)),
    ("resnet", "bernoulli", "bfloat16", "gelu", (8, 8, 3)),
    ("resnet", "gaussian", "float32", "silu", (9, 6, 3)),
    ("resnet", "gaussian", "bfloat16", "tanh", (8, 5, 1)),
    ("resnet", "bernoulli", "float16", "relu", (8, 5, 1)),
    ("resnet", "gaussian", "float16", "silu", (8, 8, 3)),
    ("conv", "bernoulli", "float32", "relu", (7, 10, 1)),
    ("conv", "bernoulli", "bfloat16", "gelu", (9, 6, 3)),
    ("conv", "gaussian", "float32", "silu", (9, 6, 3)),
    ("conv", "gaussian", "bfloat16", "relu", (8, 8, 1)),
    ("conv", "bernoulli", "float16", "elu", (8, 8, 1)),
    ("conv", "gaussian", "float16", "gelu", (7, 10, 1)),
    ("mlp", "bernoulli", "float32", "elu", (5, 3, 3)),
    ("mlp", "bernoulli", "bfloat16", "tanh", (5, 3, 1)),
    ("mlp", "gaussian", "float32", "relu", (5, 3, 1)),
    ("mlp", "gaussian", "bfloat16", "silu", (5, 3, 3)),
    ("mlp", "bernoulli", "float16", "relu", (5, 3, 3)),
    ("mlp", "gaussian", "float16", "tanh", (5, 3, 1)),
]
FIELDS = ("network", "likelihood", "precision", "activation")
SPARSE = {"model": "sparse_autoencoder"}
# Choices of one network or model alone: a case of each, (network, settings, image shape).
VARIATIONS = [
    ("mlp", {"dense_layer": "plain"}, (5, 3, 1)),
    ("mlp", {"dense_layer": "gated"}, (5, 3, 1)),
    *(("resnet", {"normalization": norm}, (6, 5, 3)) for norm in ("group", "layer", "none")),
    *((network, {"conditional": True}, (6, 5, 3)) for network in ("conv", "mlp", "resnet")),
    ("conv", {**SPARSE, "latent_activation": "sigmoid", "precision": "bfloat16"}, (7, 10, 1)),
    ("mlp", {**SPARSE, "latent_activation": "tanh", "likelihood": "gaussian"}, (5, 3, 3)),
    ("mlp", {**SPARSE, "latent_activation": "relu"}, (5, 3, 1)),
    ("resnet", {**SPARSE, "latent_activation": "softplus"}, (6, 5, 3)),
]
# Every pair of posterior, prior and likelihood that go together; each kind of scale.
DISTRIBUTIONS = [
    # network, precision, posterior, prior, likelihood, kind of its scale
    ("conv", "float32", "diagonal", "standard", "bernoulli", "auto"),
    ("mlp", "float32", "full", "standard", "continuous_bernoulli", "auto"),
    ("mlp", "float32", "iaf", "standard", "gaussian", "learned"),
    ("mlp", "bfloat16", "diagonal", "standard", "discretized_logistic", "per_pixel"),
    ("mlp", "bfloat16", "full", "mixture", "bernoulli", "auto"),
    ("mlp", "float32", "iaf", "mixture", "continuous_bernoulli", "auto"),
    ("mlp", "float32", "diagonal", "mixture", "gaussian", "per_pixel"),
    ("conv", "float32", "full", "mixture", "discretized_logistic", "learned"),
    ("conv", "float32", "diagonal", "vamp", "bernoulli", "auto"),
    ("mlp", "bfloat16", "diagonal", "vamp", "continuous_bernoulli", "auto"),
    ("mlp", "float32", "full", "vamp", "gaussian", "fixed"),
    ("mlp", "float32", "full", "vamp", "discretized_logistic", "auto"),
    ("mlp", "bfloat16", "iaf", "flow", "bernoulli", "auto"),
    ("conv", "bfloat16", "diagonal", "flow", "continuous_bernoulli", "auto"),
    ("mlp", "float32", "full", "flow", "gaussian", "auto"),
    ("mlp", "float32", "iaf", "flow", "discretized_logistic", "fixed"),
]
DISTRIBUTION_FIELDS = (
    "network",
    "precision",
    "posterior",
    "prior",
    "likelihood",
    "likelihood_scale_kind",
)
EXCLUSIVE = ("iaf", "vamp")
B, D, K = 3, 2, 4


@dataclasses.dataclass(frozen=True)
class Case:
    config: ModelConfig
    image_shape: tuple[int, int, int]

    def build(self, seed=0):
        return assembly.build_model(self.config, self.image_shape, seed, num_classes=K)

    def given(self, model, batch=B):
        """The model for labels that differ."""
        return model.given(tf.range(batch) % K)

    def images(self, batch=B):
        pixels = np.random.default_rng(0).uniform(size=[batch, *self.image_shape])
        return tf.constant(pixels, tf.float32)

    @property
    def tolerance(self):
        """Of numbers of size 1: other orders of summation, in 24 or in 8 bits."""
        if self.config.precision == "float32":
            return 1e-4
        # A residual network rounds some five times as often, and normalises what is left: its
        # gradients in bfloat16 are themselves up to 0.2 from those in float32 on these sizes.
        # float16 has three bits more, and the same tolerances.
        return 2e-1 if self.config.network == "resnet" else 5e-2


SIZES = {
    "latent_dim": D,
    "encoder_filters": (3, 4),
    "encoder_strides": (2, 2),
    "encoder_units": (6,),
    "decoder_units": (5,),
    "decoder_filters": (4, 4, 3),
    "decoder_strides": (2, 2),
    "iaf_units": (7,),
    "iaf_context": 3,
    "prior_components": 4,
    "prior_flow_steps": 2,
    "prior_flow_units": (6,),
}
RESNET_SIZES = {"resnet_filters": (4, 8), "resnet_blocks": (1,)}


def describe(values, image_shape):
    sizes = SIZES | (RESNET_SIZES if values["network"] == "resnet" else {})
    return Case(ModelConfig(**(sizes | values)), image_shape)


def all_cases():
    for *values, image_shape in CASES:
        name = "-".join([*values, "x".join(map(str, image_shape))])
        yield pytest.param(describe(dict(zip(FIELDS, values, strict=True)), image_shape), id=name)
    for network, settings, image_shape in VARIATIONS:
        case = describe({"network": network, **settings}, image_shape)
        yield pytest.param(case, id="-".join([network, *map(str, settings.values())]))
    for values in DISTRIBUTIONS:
        # relu leaves units of such small networks without a gradient.
        values_by_field = dict(zip(DISTRIBUTION_FIELDS, values, strict=True))
        case = describe({**values_by_field, "activation": "elu"}, (5, 3, 3))
        yield pytest.param(case, id="-".join(values))


@pytest.fixture(scope="module", params=all_cases())
def case(request):
    return request.param


def test_list_leaves_no_choice_of_the_settings_out():
    listed = {}
    for fields, cases in ((FIELDS, CASES), (DISTRIBUTION_FIELDS, DISTRIBUTIONS)):
        for index, field in enumerate(fields):
            listed.setdefault(field, set()).update(case[index] for case in cases)
    defaults = ModelConfig()
    for _, settings, _ in VARIATIONS:
        for field in settings.keys() - {"conditional"}:
            listed.setdefault(field, {getattr(defaults, field)}).add(settings[field])
    choices = {
        field.name: set(field.metadata["choices"])
        for field in dataclasses.fields(ModelConfig)
        # A variant is but sizes, and those here are given over it; config_test.py has them all.
        if field.metadata["choices"] and field.name != "variant"
    }
    assert listed == choices
    combinations = {case[:3] for case in CASES}
    assert len(combinations) == np.prod(
        [len({case[index] for case in CASES}) for index in range(3)]
    )


def test_list_has_every_pair_of_distributions_that_go_together():
    for first, second in itertools.combinations(range(2, 5), 2):
        listed = {(case[first], case[second]) for case in DISTRIBUTIONS}
        pairs = itertools.product(*({case[i] for case in DISTRIBUTIONS} for i in (first, second)))
        assert listed == set(pairs) - {EXCLUSIVE}


@dataclasses.dataclass(frozen=True)
class GivenNoise:
    """Stands in for BatchNoise: XLA's generator gives other numbers than TensorFlow's kernels."""

    values: tf.Tensor

    def normal(self, purpose, shape):
        assert self.values.shape == [B, *shape]
        return self.values


def assert_close(found, expected, tolerance):
    """Compares tensor by tensor, to a part of the largest number of each."""
    found, expected = tf.nest.flatten(found), tf.nest.flatten(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype == tf.float32
        scale = max(1e-3, float(np.max(np.abs(b))))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * scale)


def test_eager_traced_and_compiled_steps_agree(case):
    model = case.build()
    objective = assembly.build_objective(
        ObjectiveConfig(kl_weight=2.0), steps_per_epoch=1, model=case.config.model
    )

    def compute(image, epsilon):
        batch = Batch(image, tf.range(B) % K)
        noise = GivenNoise(epsilon)
        with tf.GradientTape() as tape:
            terms = objective(model, batch, noise, 0, lambda values: tf.reduce_mean(values, 0))
            loss = tf.reduce_mean(terms.loss)
        return terms._asdict(), tape.gradient(loss, model.trainable_variables)

    inputs = case.images(), tf.random.stateless_normal([B, D], make_seed(1))
    terms, gradients = compute(*inputs)
    for name, term in terms.items():
        assert term.shape == [B], name
        assert np.all(np.isfinite(term)), name
    # Every variable has a part in the loss.
    assert all(np.any(gradient.numpy()) for gradient in gradients)
    assert_close(tf.function(compute)(*inputs), (terms, gradients), case.tolerance)
    compiled = tf.function(compute, jit_compile=True)(*inputs)
    assert_close(compiled, (terms, gradients), case.tolerance)


def test_any_batch_size_runs_in_one_trace_with_known_shapes(case):
    model = case.build()
    image_spec = tf.TensorSpec([None, *case.image_shape], tf.float32)
    seed_spec = tf.TensorSpec([2], tf.int32)

    def run(image, seed):
        given = model.given(tf.range(tf.shape(image)[0]) % K)
        if case.config.model == "vae":
            return given(image, seed)
        return {"reconstruction": given.reconstruct(image), **given.describe(image)}

    traced = tf.function(run, input_signature=[image_spec, seed_spec])
    shapes = traced.get_concrete_function().structured_outputs
    image_shape = [None, *case.image_shape]
    assert shapes["reconstruction"].shape.as_list() == image_shape
    latents = ("z_mean", "z_log_var", "z") if case.config.model == "vae" else ("code",)
    for name in latents:
        if (name, case.config.posterior) != ("z_log_var", "full"):
            assert shapes[name].shape.as_list() == [None, D]
    for batch in (1, B):
        output = traced(case.images(batch), make_seed(0))
        assert output["reconstruction"].shape == [batch, *case.image_shape]
        assert_close(output, run(case.images(batch), make_seed(0)), case.tolerance)
    assert traced.experimental_get_tracing_count() == 1


def test_outputs_are_float32_images_in_range(case):
    model = case.build()
    images = [case.given(model).reconstruct(case.images())]
    if case.config.model == "vae":
        images.append(model.sample(2, make_seed(0)))
    for image in images:
        assert image.dtype == tf.float32
        assert image.shape[1:] == case.image_shape
        assert np.all((image.numpy() >= 0) & (image.numpy() <= 1))


def test_rows_of_a_batch_are_computed_apart(case):
    model = case.build()
    together = case.given(model).reconstruct(case.images())
    alone = model.given(tf.constant([1])).reconstruct(case.images()[1:2])
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
