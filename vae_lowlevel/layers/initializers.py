"""Initial values of weights, drawn from a seed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import tensorflow as tf


def glorot_uniform(shape: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    """Draws U(-l, l) with l = sqrt(6 / (fan_in + fan_out)).

    Args:
        shape: [in, out] of a dense kernel or [height, width, in, out] of a convolution.
        seed: int32 [2].

    Returns:
        float32 [*shape].

    References:
        Glorot, Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", 2010, eq. 16.
    """
    receptive_field = math.prod(shape[:-2])
    limit = math.sqrt(6.0 / (receptive_field * (shape[-2] + shape[-1])))
    return tf.random.stateless_uniform(shape, seed, -limit, limit)
