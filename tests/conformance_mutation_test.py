"""The bounds of the conformance tests are tight: one detail broken in one layer exceeds them."""

from __future__ import annotations

import functools

import pytest
import tensorflow as tf
from conformance_cases import Case, outputs_of
from conformance_checks import check_float32_parts, check_outputs, check_step
from conformance_factors import FACTORS

from vae_lowlevel.layers import conv, linear
from vae_lowlevel.layers.sequential import Sequential

LOW = ("bfloat16", "float16")
RESNET = pytest.param("resnet", marks=pytest.mark.long)
NETWORKS = ("conv", "mlp", RESNET)


@functools.cache
def make_case(network, precision, activation="silu", **values):
    """Returns the case of a plain VAE with Bernoulli pixels."""
    row = {factor: next(iter(choices)) for factor, choices in FACTORS.items()}
    row |= {"network": network, "precision": precision, "activation": activation}
    row |= {"image": "8x8x3", **values}
    return Case(row, dict.fromkeys(FACTORS, 0))


def check(case, model):
    models = (model, case.reference)
    step = case.make_step(model, case.loss_scale)(case.images, case.labels)
    check_step(case, step)
    check_float32_parts(case, model, step)
    check_outputs(case, *(outputs_of(m, case.images, case.labels, [0, 0]) for m in models))


def layer_with(chain, attribute):
    """Returns a layer of a network that has an attribute: not the first one, and not the head."""
    layers = [
        module
        for layer in chain.layers[:-1]
        for module in (layer, *layer.submodules)
        if getattr(module, attribute, None) is not None
    ]
    return layers[len(layers) // 2]


class HalfGradient(tf.Module):
    """A layer that passes half of the gradient on to its weights and its input."""

    def __init__(self, layer):
        super().__init__(name="half_gradient")
        self.layer = layer

    def __call__(self, x):
        y = self.layer(x)
        return 0.5 * y + tf.stop_gradient(0.5 * y)


def scale_kernel(network, factor=1.05):
    kernel = layer_with(network, "kernel").kernel
    kernel.assign(factor * kernel)


def scale_kernel_more(network):
    scale_kernel(network, 1.1)


def leave_bias_out(network):
    bias = layer_with(network, "bias").bias
    bias.assign(tf.zeros_like(bias))


def leave_activation_out(network):
    layer_with(network, "activation").activation = None


def halve_gradient(network):
    index = next(i for i, layer in enumerate(network.layers) if layer.trainable_variables)
    network.layers[index] = HalfGradient(network.layers[index])


MUTATIONS = {
    "silu": (scale_kernel, leave_bias_out, leave_activation_out, halve_gradient),
    "relu": (scale_kernel_more, leave_bias_out, leave_activation_out, halve_gradient),
}


@pytest.mark.parametrize("activation", MUTATIONS)
@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("network", NETWORKS)
def test_intact_models_pass(network, precision, activation):
    case = make_case(network, precision, activation)
    check(case, case.build())


@pytest.mark.parametrize(
    ("precision", "part"),
    [("bfloat16", "encoder"), ("bfloat16", "decoder"), ("float16", "encoder")],
)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("mutate", MUTATIONS["silu"])
def test_a_broken_hidden_layer_fails(mutate, network, precision, part):
    check_that_it_fails(mutate, part, make_case(network, precision))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("mutate", MUTATIONS["relu"])
def test_a_broken_hidden_layer_fails_with_relu(mutate, network):
    check_that_it_fails(mutate, "decoder", make_case(network, "bfloat16", "relu"))


def check_that_it_fails(mutate, part, case):
    model = case.build()
    mutate(getattr(model, part))
    with pytest.raises(AssertionError, match=r"allowed [\d.]+ u"):
        check(case, model)


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("network", NETWORKS)
def test_a_posterior_head_in_low_precision_fails(network, precision):
    case = make_case(network, precision)
    model = case.build()
    *hidden, head = model.encoder.layers
    head.dtype = tf.as_dtype(precision)
    model.encoder = Sequential([*hidden, head, lambda x: tf.cast(x, tf.float32)])
    with pytest.raises(AssertionError, match="last layer of the encoder"):
        check(case, model)


@pytest.mark.parametrize("precision", LOW)
@pytest.mark.parametrize("estimator", ["auto", "monte_carlo"])
def test_a_kl_in_low_precision_fails(precision, estimator):
    case = make_case("mlp", precision, kl_estimator=estimator)
    model = case.build()

    def rounded(function):
        return lambda *args: tf.nest.map_structure(
            lambda x: tf.cast(tf.cast(x, precision), tf.float32), function(*args)
        )

    model.kl_per_dimension = rounded(model.kl_per_dimension)
    model.sample_and_log_prob = rounded(model.sample_and_log_prob)
    with pytest.raises(AssertionError, match="of float32"):
        check(case, model)


@pytest.mark.parametrize("network", ["conv", RESNET])
def test_a_gradient_of_biases_summed_in_bfloat16_fails(network, monkeypatch):
    """The gradient of `tf.nn.bias_add`, as TensorFlow computes it on CPUs."""
    case = Case(make_case(network, "bfloat16").row, dict.fromkeys(FACTORS, 0))
    case.image_shape = (16, 16, 3)
    model = case.build()
    for module in (conv, linear):
        monkeypatch.setattr(
            module, "add_bias", lambda x, bias: tf.nn.bias_add(x, tf.cast(bias, x.dtype))
        )
    with pytest.raises(AssertionError, match=r"allowed [\d.]+ u"):
        check(case, model)


@pytest.mark.parametrize("network", NETWORKS)
def test_float32_steps_that_differ_in_the_fifth_digit_fail(network):
    case = make_case(network, "float32")
    check_step(case, case.step)
    model = case.build()
    kernel = layer_with(model.encoder, "kernel").kernel
    kernel.assign((1.0 + 2e-5) * kernel)
    with pytest.raises(AssertionError, match=r"allowed [\d.]+ u"):
        check_step(case, case.make_step(model)(case.images, case.labels))
