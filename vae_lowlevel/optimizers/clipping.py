"""Makes gradients safe to apply: bounded in norm, and harmless where they are not finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class SafeGradients(NamedTuple):
    """Gradients with what was found out about them.

    Attributes:
        gradients: one float32 tensor a variable; all zero where `is_finite` is false.
        norm: float32 scalar, the global norm before clipping.
        is_finite: bool scalar.
    """

    gradients: list[tf.Tensor]
    norm: tf.Tensor
    is_finite: tf.Tensor


def clip_gradients(gradients: Sequence[tf.Tensor], clip_norm: float | None) -> SafeGradients:
    """Scales gradients to a global norm of at most `clip_norm`; zeros non-finite ones.

    Args:
        gradients: one float32 tensor a variable.
        clip_norm: the bound; None for none.

    References:
        Pascanu, Mikolov, Bengio, "On the difficulty of training Recurrent Neural Networks", 2013,
        algorithm 1.
    """
    norm = tf.linalg.global_norm(gradients)
    is_finite = tf.math.is_finite(norm)
    scale = 1.0 if clip_norm is None else tf.math.minimum(1.0, clip_norm / norm)
    safe = [tf.where(is_finite, gradient * scale, 0.0) for gradient in gradients]
    return SafeGradients(safe, norm, is_finite)
