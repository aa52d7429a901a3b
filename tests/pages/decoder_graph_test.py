"""The decoder of every kind of network in Node against the model in TensorFlow."""

import base64

import numpy as np
import pytest
import tensorflow as tf
from pages.in_node import needs_node, run_in_node

from vae_lowlevel import assembly
from vae_lowlevel.config import Config
from vae_lowlevel.errors import ConfigError
from vae_lowlevel.pages import decoder_graph
from vae_lowlevel.pages.decoder_graph import decoder_program, trace_program

CLASSES = 3
SIZES = {
    "latent_dim": 3,
    "ladder_dims": (1, 2),
    "ladder_units": (6,),
    "encoder_units": (4,),
    "decoder_units": (7,),
    "encoder_filters": (2, 2),
    "decoder_filters": (6, 5, 4),
}
RESNET = {"network": "resnet", "resnet_filters": (4, 8), "resnet_blocks": (1, 0)}
LOGISTIC = {"network": "mlp", "likelihood": "discretized_logistic"}
KINDS = {
    "mlp": {"network": "mlp"},
    "mlp_gated": {"network": "mlp", "dense_layer": "gated"},
    "conv": {"network": "conv"},
    "conv_odd_strides": {"network": "conv", "decoder_strides": (3, 2), "kernel_size": 4},
    "conv_conditional": {"network": "conv", "conditional": True},
    "resnet": RESNET,
    "resnet_layer": {**RESNET, "normalization": "layer"},
    "resnet_none": {**RESNET, "normalization": "none"},
    "ladder_mlp": {"model": "ladder", "network": "mlp"},
    "ladder_conv": {"model": "ladder", "network": "conv"},
    "ladder_conditional": {"model": "ladder", "network": "conv", "conditional": True},
    "sparse": {"model": "sparse_autoencoder", "network": "mlp"},
    **{name: {"network": "mlp", "activation": name} for name in ("gelu", "silu", "elu", "tanh")},
    "continuous_bernoulli": {"network": "mlp", "likelihood": "continuous_bernoulli"},
    "gaussian": {"network": "mlp", "likelihood": "gaussian", "likelihood_scale_kind": "per_pixel"},
    "logistic": LOGISTIC,
    "logistic_per_pixel": {**LOGISTIC, "likelihood_scale_kind": "per_pixel"},
}


def build(kind, image_shape=(7, 10, 3)):
    """A model whose weights are far from their initial values: a missing bias is noticed."""
    config = Config.from_flat({**SIZES, **KINDS[kind]})
    model = assembly.build_model(config.model, image_shape, 0, num_classes=CLASSES)
    for index, variable in enumerate(model.trainable_variables):
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, [index, 1]))
    return model


@pytest.fixture(scope="module")
def models():
    return {kind: build(kind) for kind in KINDS}


@pytest.fixture(scope="module")
def z():
    return np.random.default_rng(0).normal(size=[4, 3]).astype(np.float32)


LABEL = np.array([0, 2, -1, 1], np.int32)


@pytest.fixture(scope="module")
def programs(models):
    return {kind: decoder_program(model) for kind, model in models.items()}


@pytest.fixture(scope="module")
def pictures(models, programs, z):
    """Node's pictures by kind, [4, values]."""
    rows = [{"z": row, "label": label} for row, label in zip(z, LABEL, strict=True)]
    cases = [(program, rows) for program in programs.values()]
    return dict(zip(models, run_in_node(cases)[0], strict=True))


@needs_node
@pytest.mark.parametrize("kind", KINDS)
def test_node_decodes_what_tensorflow_does(models, pictures, z, kind):
    model = models[kind]
    expected = model.conditioned_on(LABEL).decode(z).mean().numpy().reshape(len(z), -1)
    # The pictures differ from z to z.
    assert np.ptp(expected, axis=0).max() > 0.05
    np.testing.assert_allclose(pictures[kind], expected, atol=2e-6)


@needs_node
def test_the_label_changes_the_picture(programs, z):
    rows = [{"z": z[0], "label": label} for label in (0, 1)]
    ((first, second),), _ = run_in_node([(programs["conv_conditional"], rows)])
    assert np.abs(first - second).max() > 0.01


def test_what_does_not_depend_on_z_is_computed_when_the_page_is_written(programs):
    # The kernels of the resnet's transposed convolutions are made from others by 20 operations.
    kernels = [step["kernel"] for step in programs["resnet"]["steps"]]
    assert kernels.count("Conv2DTranspose") == 2
    assert not {"Concat", "Transpose"} & set(kernels)
    assert [step["kernel"] for step in programs["mlp"]["steps"]] == [
        *("MatMul", "AddV2", "Relu", "MatMul", "AddV2", "Reshape", "Sigmoid")
    ]


def test_constants_are_little_endian_float32_of_the_variables(models, programs):
    model, constants = models["mlp"], programs["mlp"]["constants"]
    found = [
        np.frombuffer(base64.b64decode(c["data"]), "<f4").reshape(c["shape"]) for c in constants
    ]
    for variable in model.decoder.trainable_variables:
        assert any(np.array_equal(variable.numpy(), value) for value in found)
    assert len(found) == len(model.decoder.trainable_variables)


def test_tensors_have_numbers_in_the_order_of_their_computation(programs):
    for program in programs.values():
        known = len(program["inputs"]) + len(program["constants"])
        for step in program["steps"]:
            assert max(step["inputs"]) < known
            known += 1
        assert program["output"] == known - 1


@needs_node
def test_a_function_of_nothing_and_one_that_returns_its_input():
    spec = {"z": tf.TensorSpec([1, 2], tf.float32)}
    constant = trace_program(lambda z: tf.constant([[3.0, 4.0]]), spec)
    same = trace_program(lambda z: tf.identity(z), spec)
    assert constant["steps"] == same["steps"] == []
    found, _ = run_in_node([(constant, [{"z": [1, 2]}]), (same, [{"z": [5, 6]}])])
    np.testing.assert_array_equal(np.concatenate(found), [[3, 4], [5, 6]])


def test_a_decoder_that_is_too_large_is_refused(models, monkeypatch):
    monkeypatch.setattr(decoder_graph, "MOST_BYTES", 2**10)
    with pytest.raises(ConfigError, match=r"MiB of weights, .* without --explorer"):
        decoder_program(models["resnet"])
