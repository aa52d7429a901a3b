from __future__ import annotations

import pytest
import tensorflow as tf

from vae_lowlevel.layers.normalization import count_groups, normalization


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(1, 1), (7, 1), (8, 2), (12, 3), (16, 4), (20, 5), (32, 8), (48, 8), (512, 8), (44, 4)],
)
def test_groups_divide_the_channels_into_at_least_four(channels, groups):
    assert count_groups(channels) == groups


def build(kind):
    return normalization(kind, 16, activation=tf.nn.relu, dtype=tf.bfloat16, name="norm")


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
