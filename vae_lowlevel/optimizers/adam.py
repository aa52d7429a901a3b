"""Adam, with one fused operation per variable."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


class Adam(tf.Module):
    """Updates variables by bias-corrected running moments of their gradients.

    m <- b1 m + (1 - b1) g;  v <- b2 v + (1 - b2) g^2
    w <- w - rate sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)

    Args:
        variables: those that `apply` updates; their moments are created here.
        beta1: decay of the first moment, in [0, 1).
        beta2: decay of the second moment, in [0, 1).
        epsilon: added to sqrt(v), as in TensorFlow ("epsilon hat" in the paper).

    References:
        Kingma, Ba, "Adam: A Method for Stochastic Optimization", 2015, sec. 2.
    """

    def __init__(
        self,
        variables: Sequence[tf.Variable],
        *,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-7,
    ) -> None:
        super().__init__(name="adam")
        self.beta1 = beta1
        self.beta2 = beta2
        self.epsilon = epsilon
        with self.name_scope:
            self.updates = tf.Variable(0, dtype=tf.int64, trainable=False, name="updates")
            self.m = [_slot(variable, "m") for variable in variables]
            self.v = [_slot(variable, "v") for variable in variables]

    def apply(
        self,
        variables: Sequence[tf.Variable],
        gradients: Sequence[tf.Tensor],
        learning_rate: tf.Tensor,
        is_finite: tf.Tensor,
    ) -> None:
        """Updates `variables`; changes nothing where `is_finite` is false.

        Args:
            variables: those given to `__init__`, in the same order.
            gradients: float32, one per variable; zeros where `is_finite` is false.
            learning_rate: float32 scalar.
            is_finite: bool scalar.
        """
        self.updates.assign_add(tf.cast(is_finite, tf.int64))
        count = tf.cast(tf.math.maximum(self.updates, 1), tf.float32)
        beta1_power, beta2_power = tf.math.pow(self.beta1, count), tf.math.pow(self.beta2, count)
        # With decays of 1 and zero gradients the moments stay, with a rate of 0 the variables: a
        # step is skipped without a branch around the update.
        beta1 = tf.where(is_finite, self.beta1, 1.0)
        beta2 = tf.where(is_finite, self.beta2, 1.0)
        rate = tf.where(is_finite, learning_rate, 0.0)
        for variable, m, v, gradient in zip(variables, self.m, self.v, gradients, strict=True):
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=m.handle,
                v=v.handle,
                beta1_power=beta1_power,
                beta2_power=beta2_power,
                lr=rate,
                beta1=beta1,
                beta2=beta2,
                epsilon=self.epsilon,
                grad=gradient,
                use_locking=True,
            )


def _slot(variable: tf.Variable, name: str) -> tf.Variable:
    stem = variable.name.split(":")[0]
    return tf.Variable(tf.zeros(variable.shape), trainable=False, name=f"{stem}/{name}")
