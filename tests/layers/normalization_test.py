from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.activations import ACTIVATIONS
from vae_lowlevel.layers.normalization import GroupNorm, build_normalization, default_groups


def images(channels, batch=2):
    return np.random.default_rng(0).normal(3.0, 5.0, [batch, 4, 4, channels]).astype(np.float32)


def reference(x, groups, scale, offset):
    """Each group of each example by itself, in float64."""
    y = np.empty(x.shape)
    size = x.shape[-1] // groups
    for example in range(len(x)):
        for first in range(0, x.shape[-1], size):
            own = x[example, :, :, first : first + size].astype(np.float64)
            y[example, :, :, first : first + size] = (own - own.mean()) / np.sqrt(own.var() + 1e-5)
    return y * scale + offset


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_normalises_every_group_of_every_example(groups):
    layer = GroupNorm(6, groups=groups, activation=tf.nn.relu)
    scale, offset = np.arange(1.0, 7.0), np.linspace(-1.0, 1.0, 6)
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    x = images(6)
    expected = np.maximum(reference(x, groups, scale, offset), 0.0)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("groups", [1, 2, 8])
@pytest.mark.parametrize("mean", [0.0, 5000.0])
def test_result_and_gradient_are_those_of_the_formula_in_float64(groups, mean):
    """Also where the mean is a thousand deviations: x - mean comes before the products.

    Multiples of 1/8 have exact means in float32, so only the formula can lose digits.
    """
    x = np.round(8.0 * images(8)) / 8.0 + np.float32(mean)
    scale, offset = np.arange(1.0, 9.0), np.linspace(-1.0, 1.0, 8)
    weight = np.random.default_rng(1).normal(size=x.shape)
    layer = GroupNorm(8, groups=groups)
    layer.scale.assign(scale)
    layer.offset.assign(offset)
    image = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(image)
        y = layer(image)
        loss = tf.reduce_sum(y * tf.constant(weight, tf.float32))
    found = y, *tape.gradient(loss, [image, layer.scale, layer.offset])

    exact = [tf.constant(value, tf.float64) for value in (x, scale, offset)]
    with tf.GradientTape() as tape:
        tape.watch(exact)
        grouped = tf.reshape(exact[0], [2, 4, 4, groups, 8 // groups])
        group_mean, variance = tf.nn.moments(grouped, [1, 2, 4], keepdims=True)
        normal = tf.reshape((grouped - group_mean) / tf.sqrt(variance + 1e-5), x.shape)
        y = normal * exact[1] + exact[2]
        loss = tf.reduce_sum(y * weight)
    for value, expected in zip(found, (y, *tape.gradient(loss, exact)), strict=True):
        bound = 1e-6 * np.abs(expected).max()
        np.testing.assert_allclose(value, expected, rtol=0.0, atol=bound)


def test_a_constant_image_becomes_the_offset():
    layer = GroupNorm(4, groups=2)
    layer.offset.assign([0.1, -0.2, 0.3, 0.7])
    y = layer(tf.fill([2, 4, 4, 4], 1000.0))
    np.testing.assert_array_equal(y, np.broadcast_to(layer.offset, y.shape))


def test_scale_of_the_input_is_taken_out():
    layer = GroupNorm(4, groups=2)
    x = images(4)
    np.testing.assert_allclose(layer(1000.0 * x - 7.0), layer(x), atol=1e-3)


def test_rows_do_not_see_each_other():
    layer = GroupNorm(4, groups=2)
    x = images(4, batch=3)
    np.testing.assert_allclose(layer(x)[1:2], layer(x[1:2]), atol=1e-6)


def test_statistics_of_bfloat16_are_float32():
    # 1000 and 1004 are neighbours in bfloat16; their mean is not a bfloat16 number.
    x = tf.constant([1000.0, 1004.0], tf.bfloat16)
    y = GroupNorm(1, groups=1, dtype=tf.bfloat16)(tf.reshape(x, [1, 1, 2, 1]))
    assert y.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(y, tf.float32)[0, 0, :, 0], [-1.0, 1.0])


def test_bfloat16_is_rounded_once_after_the_activation():
    x = tf.cast(images(4), tf.bfloat16)
    silu = ACTIVATIONS["silu"]
    half = GroupNorm(4, groups=2, activation=silu, dtype=tf.bfloat16)(x)
    full = GroupNorm(4, groups=2, activation=silu)(x)
    np.testing.assert_array_equal(half, tf.cast(full, tf.bfloat16))


@pytest.mark.parametrize("groups", [0, 4])
def test_groups_that_do_not_divide_the_channels_are_refused(groups):
    with pytest.raises(ValueError, match=f"divide the 6 channels, got {groups}"):
        GroupNorm(6, groups=groups)


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (7, 1), (8, 2), (12, 3), (16, 4), (20, 5), (32, 8), (48, 8), (512, 8), (44, 4)],
)
def test_default_groups_divide_the_channels_into_at_least_four(channels, groups):
    assert default_groups(channels) == groups


def build(kind):
    return build_normalization(kind, 16, activation=tf.nn.relu, dtype=tf.bfloat16, name="norm")


def test_each_kind_is_built_with_its_groups():
    assert (build("group").groups, build("layer").groups) == (4, 1)
    assert build("layer").dtype == tf.bfloat16


def test_none_is_the_activation_alone():
    layer = build("none")
    assert layer.variables == ()
    assert layer(tf.constant([-1.0, 2.0])).numpy().tolist() == [0.0, 2.0]


@pytest.mark.parametrize("kind", ["batch", ""])
def test_no_other_kind_is_known(kind):
    with pytest.raises(ValueError, match="one of group, layer, none"):
        build(kind)
