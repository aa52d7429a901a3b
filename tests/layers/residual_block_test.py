from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from vae_lowlevel.layers.residual_block import ResidualBlock
from vae_lowlevel.randomness import make_seed


def build(norm="none", **changes):
    settings = {"norm": norm, "activation": tf.math.tanh, "seed": make_seed(0), **changes}
    return ResidualBlock(2, **settings)


def correlate(x, kernel, bias):
    """SAME convolution of 3 x 3, shift by shift."""
    height, width = x.shape[1:3]
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    shifts = [
        padded[:, row : row + height, column : column + width] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    ]
    return np.sum(shifts, axis=0) + bias


def test_adds_two_convolutions_of_the_activated_input():
    block = build()
    x = np.random.default_rng(0).normal(size=[2, 4, 5, 2]).astype(np.float32)
    residual = x
    for conv in (block.layers[1], block.layers[3]):
        conv.bias.assign([0.5, -0.25])
        residual = correlate(np.tanh(residual), conv.kernel.numpy(), conv.bias.numpy())
    np.testing.assert_allclose(block(x), x + residual, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["group", "layer", "none"])
def test_a_residual_of_zero_returns_the_input(norm):
    block = build(norm)
    block.layers[3].kernel.assign(tf.zeros_like(block.layers[3].kernel))
    x = np.random.default_rng(0).normal(size=[2, 3, 3, 2]).astype(np.float32)
    np.testing.assert_array_equal(block(x), x)


def test_convolutions_start_with_different_kernels():
    block = build()
    assert not np.any(block.layers[1].kernel.numpy() == block.layers[3].kernel.numpy())


def test_norms_have_variables_in_the_block_and_none_does_not():
    names = {variable.name for variable in build("group").trainable_variables}
    assert {"block/norm_0/scale:0", "block/norm_1/offset:0", "block/conv_1/kernel:0"} < names
    assert len(names) == 8
    assert len(build("none").trainable_variables) == 4


def test_bfloat16_stays_bfloat16():
    block = build("group", dtype=tf.bfloat16)
    assert block(tf.ones([1, 3, 3, 2])).dtype == tf.bfloat16
