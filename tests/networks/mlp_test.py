from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.mlp import dense_stack, mlp_decoder, mlp_encoder
from vae_lowlevel.randomness import make_seed


def shared(**changes):
    return {"activation": tf.math.tanh, "dtype": tf.float32, "seed": make_seed(0), **changes}


def kernels(chain):
    return [layer.kernel.numpy() for layer in chain.layers if hasattr(layer, "kernel")]


def test_encoder_is_a_perceptron_of_the_flat_image():
    encoder = mlp_encoder(image_shape=(3, 4, 2), out_features=5, units=(7, 6), **shared())
    first, second, head = kernels(encoder)
    assert (first.shape, second.shape, head.shape) == ((24, 7), (7, 6), (6, 5))
    image = np.random.default_rng(0).uniform(size=[2, 3, 4, 2]).astype(np.float32)
    hidden = np.tanh(np.tanh(image.reshape(2, 24) @ first) @ second)
    np.testing.assert_allclose(encoder(tf.constant(image)), hidden @ head, rtol=1e-5, atol=1e-5)


def test_decoder_is_a_perceptron_that_ends_in_an_image():
    decoder = mlp_decoder(image_shape=(3, 4, 2), in_features=5, units=(7,), **shared())
    first, head = kernels(decoder)
    assert (first.shape, head.shape) == ((5, 7), (7, 24))
    z = np.random.default_rng(0).normal(size=[2, 5]).astype(np.float32)
    expected = (np.tanh(z @ first) @ head).reshape(2, 3, 4, 2)
    np.testing.assert_allclose(decoder(z), expected, rtol=1e-5, atol=1e-5)


def test_without_hidden_units_the_head_alone_is_left():
    encoder = mlp_encoder(image_shape=(3, 4, 1), out_features=5, units=(), **shared())
    decoder = mlp_decoder(image_shape=(3, 4, 1), in_features=5, units=(), **shared())
    assert [kernel.shape for kernel in kernels(encoder)] == [(12, 5)]
    assert [kernel.shape for kernel in kernels(decoder)] == [(5, 12)]


def test_hidden_layers_take_the_format_and_the_ends_stay_float32():
    settings = shared(dtype=tf.bfloat16, units=(7,), image_shape=(3, 4, 1))
    for chain in (
        mlp_encoder(out_features=5, **settings),
        mlp_decoder(in_features=12, **settings),
    ):
        formats = [layer.dtype for layer in chain.layers if hasattr(layer, "dtype")]
        assert formats == [tf.bfloat16, tf.float32]
    assert mlp_encoder(out_features=5, **settings)(tf.zeros([1, 3, 4, 1])).dtype == tf.float32
    assert mlp_decoder(in_features=5, **settings)(tf.zeros([1, 5])).dtype == tf.float32


@pytest.mark.parametrize("more", [(8,), (8, 8)])
def test_a_layer_starts_the_same_whatever_follows_it(more):
    (short,) = dense_stack(8, [8], **shared())
    first, *rest = dense_stack(8, [8, *more], **shared())
    np.testing.assert_array_equal(first.kernel, short.kernel)
    for layer in rest:
        assert not np.any(layer.kernel.numpy() == short.kernel.numpy())


def test_gated_layers_are_a_value_times_a_gate():
    encoder = mlp_encoder(image_shape=(3, 4, 1), out_features=5, units=(7,), gated=True, **shared())
    decoder = mlp_decoder(image_shape=(3, 4, 1), in_features=5, units=(7,), gated=True, **shared())
    for chain, x in ((encoder, tf.ones([2, 3, 4, 1])), (decoder, tf.ones([2, 5]))):
        layers = {layer.name: layer for layer in chain.layers}
        hidden, head = layers["dense_0"], layers["head"]
        flat = tf.reshape(x, [2, -1])
        expected = head(hidden.value(flat) * hidden.gate(flat))
        np.testing.assert_allclose(tf.reshape(chain(x), [2, -1]), expected, rtol=1e-6)
