from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.networks.conv import conv_decoder, conv_encoder
from vae_lowlevel.randomness import make_seed


def shared(dtype):
    return {"kernel_size": 3, "activation": tf.nn.relu, "dtype": dtype, "seed": make_seed(0)}


def build_encoder(image_shape, filters=(2, 3), strides=(2, 2), units=(5,), dtype=tf.float32):
    return conv_encoder(
        image_shape=image_shape,
        out_features=4,
        filters=filters,
        strides=strides,
        units=units,
        **shared(dtype),
    )


def build_decoder(image_shape, filters=(3, 2, 2), strides=(2, 2), units=(), dtype=tf.float32):
    return conv_decoder(
        image_shape=image_shape,
        in_features=4,
        units=units,
        filters=filters,
        strides=strides,
        **shared(dtype),
    )


def shapes_through(chain, x):
    shapes = {}
    for layer in chain.layers:
        x = layer(x)
        shapes[layer.name] = tuple(x.shape[1:])
    return shapes


def test_encoder_rounds_strided_sizes_up():
    shapes = shapes_through(build_encoder((7, 10, 3)), tf.zeros([1, 7, 10, 3]))
    assert shapes == {
        "conv_0": (4, 5, 2),
        "conv_1": (2, 3, 3),
        "flatten": (18,),
        "dense_0": (5,),
        "head": (4,),
    }


def test_encoder_head_takes_the_convolutions_where_there_are_no_units():
    shapes = shapes_through(build_encoder((4, 4, 1), units=()), tf.zeros([1, 4, 4, 1]))
    assert list(shapes) == ["conv_0", "conv_1", "flatten", "head"]


def test_decoder_enlarges_the_first_map_and_crops_what_is_too_much():
    shapes = shapes_through(build_decoder((7, 10, 3), units=(6,)), tf.zeros([1, 4]))
    assert shapes == {
        "dense_0": (6,),
        "dense_1": (2 * 3 * 3,),
        "reshape": (2, 3, 3),
        "conv_transpose_0": (4, 6, 2),
        "conv_transpose_1": (8, 12, 2),
        "head": (8, 12, 3),
        "crop": (7, 10, 3),
    }


def test_decoder_crops_nothing_where_the_strides_divide_the_size():
    decoder = build_decoder((8, 12, 1))
    assert "crop" not in [layer.name for layer in decoder.layers]
    assert decoder(tf.zeros([1, 4])).shape == [1, 8, 12, 1]


@pytest.mark.parametrize("image_shape", [(1, 1, 1), (5, 6, 3), (9, 8, 1)])
@pytest.mark.parametrize("strides", [(1, 1), (2, 3), (3, 1)])
def test_any_image_size_and_strides_will_do(image_shape, strides):
    image = tf.zeros([2, *image_shape])
    assert build_encoder(image_shape, strides=strides)(image).shape == [2, 4]
    assert build_decoder(image_shape, strides=strides)(tf.zeros([2, 4])).shape == image.shape


def test_every_layer_but_the_head_has_the_activation():
    for chain in (build_encoder((4, 4, 1)), build_decoder((4, 4, 1), units=(6,))):
        activations = {
            layer.name: layer.activation for layer in chain.layers if hasattr(layer, "activation")
        }
        assert activations.pop("head") is None
        assert set(activations.values()) == {tf.nn.relu}


def test_hidden_layers_take_the_format_and_the_posterior_head_stays_float32():
    encoder = build_encoder((4, 4, 1), dtype=tf.bfloat16)
    formats = {layer.name: layer.dtype for layer in encoder.layers if hasattr(layer, "dtype")}
    assert formats.pop("head") == tf.float32
    assert set(formats.values()) == {tf.bfloat16}
    assert encoder(tf.zeros([1, 4, 4, 1])).dtype == tf.float32
    assert build_decoder((4, 4, 1), dtype=tf.bfloat16)(tf.zeros([1, 4])).dtype == tf.bfloat16


def test_a_layer_starts_the_same_whatever_follows_it():
    short = build_encoder((4, 4, 1), filters=(3,), strides=(2,))
    long = build_encoder((4, 4, 1), filters=(3, 3, 3), strides=(2, 1, 1), units=())
    np.testing.assert_array_equal(long.layers[0].kernel, short.layers[0].kernel)
    assert not np.any(long.layers[1].kernel.numpy() == long.layers[2].kernel.numpy())
