from __future__ import annotations

import pytest
import tensorflow as tf

from vae_lowlevel.errors import ConfigError
from vae_lowlevel.networks.resnet import resnet_decoder, resnet_encoder
from vae_lowlevel.randomness import make_seed


def shared(**changes):
    settings = {"norm": "group", "activation": tf.nn.relu, "dtype": tf.float32}
    return {"filters": (4, 8), "blocks": (1, 2), "seed": make_seed(0), **settings, **changes}


def build_encoder(image_shape, **changes):
    return resnet_encoder(image_shape=image_shape, out_features=5, **shared(**changes))


def build_decoder(image_shape, **changes):
    return resnet_decoder(image_shape=image_shape, in_features=3, **shared(**changes))


def shapes_through(chain, x):
    shapes = {}
    for layer in chain.layers:
        x = layer(x)
        shapes[layer.name] = tuple(x.shape[1:])
    return shapes


def test_encoder_halves_at_each_level_then_averages():
    assert shapes_through(build_encoder((8, 12, 3)), tf.zeros([1, 8, 12, 3])) == {
        "down_0": (4, 6, 4),
        "level_0_block_0": (4, 6, 4),
        "down_1": (2, 3, 8),
        "level_1_block_0": (2, 3, 8),
        "level_1_block_1": (2, 3, 8),
        "last_norm": (2, 3, 8),
        "global_average_pool": (8,),
        "head": (5,),
    }


def test_decoder_is_the_mirror():
    assert shapes_through(build_decoder((8, 12, 3)), tf.zeros([1, 3])) == {
        "dense": (2 * 3 * 8,),
        "reshape": (2, 3, 8),
        "up_conv_1": (4, 6, 4),
        "level_1_block_0": (4, 6, 4),
        "level_1_block_1": (4, 6, 4),
        "up_conv_0": (8, 12, 4),
        "level_0_block_0": (8, 12, 4),
        "last_norm": (8, 12, 4),
        "head": (8, 12, 3),
    }


@pytest.mark.parametrize("image_shape", [(3, 3, 1), (5, 6, 3), (9, 16, 1), (28, 28, 1)])
def test_sizes_that_do_not_divide_are_padded_and_cropped(image_shape):
    image = tf.ones([2, *image_shape])
    encoder, decoder = build_encoder(image_shape), build_decoder(image_shape)
    divides = all(size % 4 == 0 for size in image_shape[:2])
    assert ("pad" in shapes_through(encoder, image)) is not divides
    assert ("crop" in shapes_through(decoder, tf.zeros([2, 3]))) is not divides
    assert encoder(image).shape == [2, 5]
    assert decoder(tf.zeros([2, 3])).shape == image.shape


@pytest.mark.parametrize(("size", "levels"), [(2, 2), (4, 3), (1, 1), (8, 4)])
def test_an_image_that_is_one_pixel_before_the_last_level_is_refused(size, levels):
    settings = {"filters": (4,) * levels, "blocks": (1,) * levels}
    for build in (build_encoder, build_decoder):
        with pytest.raises(ConfigError) as caught:
            build((40, size, 1), **settings)
        for part in (f"{levels} levels", f"at least {size + 1}", f"40 x {size}", "--pad_to"):
            assert part in str(caught.value)
        build((40, size + 1, 1), **settings)


def test_hidden_layers_take_the_format_and_both_ends_are_float32():
    encoder = build_encoder((8, 8, 1), dtype=tf.bfloat16)
    decoder = build_decoder((8, 8, 1), dtype=tf.bfloat16)
    for chain in (encoder, decoder):
        formats = {layer.name: layer.dtype for layer in chain.layers if hasattr(layer, "dtype")}
        assert formats.pop("head") == tf.float32
        assert set(formats.values()) == {tf.bfloat16}
    assert encoder(tf.zeros([1, 8, 8, 1])).dtype == tf.float32
    assert decoder(tf.zeros([1, 3])).dtype == tf.float32


def test_every_kernel_starts_differently():
    chains = build_encoder((8, 8, 1)), build_decoder((8, 8, 1))
    for chain in chains:
        firsts = [v.numpy().flat[0] for v in chain.variables if "kernel" in v.name]
        assert len(set(firsts)) == len(firsts) > 8


def test_no_blocks_leave_the_convolutions():
    names = list(shapes_through(build_encoder((4, 4, 1), blocks=(0, 0)), tf.zeros([1, 4, 4, 1])))
    assert names == ["down_0", "down_1", "last_norm", "global_average_pool", "head"]
