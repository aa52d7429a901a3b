"""Makes gradients safe to apply: bounded in norm, and zero where they are not finite."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf


class SafeGradients(NamedTuple):
    """Gradients that are safe to apply.

    Attributes:
        gradients: one float32 tensor per variable; all zero where `is_finite` is false.
        norm: float32 scalar, the global norm before clipping.
        is_finite: bool scalar, whether all gradients are finite.
    """

    gradients: list[tf.Tensor]
    norm: tf.Tensor
    is_finite: tf.Tensor


def global_norm_by_products(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes what `tf.linalg.global_norm` does, with the rows summed by a product with ones.

    XLA for CPUs is slow at sums over whole tensors and fast at products. Elsewhere the product only
    costs memory.

    Args:
        tensors: float32, of any shapes.

    Returns:
        float32 scalar.
    """
    sums = []
    for tensor in tensors:
        squares = tf.math.square(tensor)
        rows = squares.shape[0] if squares.shape.rank > 1 else 1
        squares = tf.reshape(squares, [rows, -1])
        sums.append(tf.reduce_sum(tf.linalg.matvec(squares, tf.ones([squares.shape[1]]))))
    return tf.math.sqrt(tf.math.add_n(sums))


def clip_gradients(
    gradients: Sequence[tf.Tensor],
    clip_norm: float | None,
    global_norm: Callable[[Sequence[tf.Tensor]], tf.Tensor] = tf.linalg.global_norm,
) -> SafeGradients:
    """Scales gradients to a global norm of at most `clip_norm`; returns zeros if any is not finite.

    Args:
        gradients: one float32 tensor per variable.
        clip_norm: largest global norm; None for no bound.
        global_norm: computes the norm.

    References:
        Pascanu, Mikolov, Bengio, "On the difficulty of training Recurrent Neural Networks", 2013,
        algorithm 1.
    """
    norm = global_norm(gradients)
    is_finite = tf.math.is_finite(norm)
    scale = 1.0 if clip_norm is None else tf.math.minimum(1.0, clip_norm / norm)
    safe = [tf.where(is_finite, gradient * scale, 0.0) for gradient in gradients]
    return SafeGradients(safe, norm, is_finite)
