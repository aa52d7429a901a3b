"""Activations by name, and the layer that applies one."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

Activation = Callable[[tf.Tensor], tf.Tensor]


@tf.custom_gradient
def silu(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    """Computes x * sigmoid(x); its gradient needs fewer passes over x than that of `tf.nn.silu`.

    The slope is computed in float32 for every dtype of x: on CPUs, sigmoid is slower in bfloat16.

    References:
        Elfwing, Uchibe, Doya, "Sigmoid-Weighted Linear Units for Neural Network Function
        Approximation in Reinforcement Learning", 2017, eq. 7.
    """

    def gradient(dy: tf.Tensor) -> tf.Tensor:
        # The dependency on dy has the sigmoid computed again here, so that none is kept in memory.
        with tf.control_dependencies([dy]):
            wide = tf.cast(x, tf.float32)
        sigmoid = tf.sigmoid(wide)
        slope = sigmoid + tf.raw_ops.SigmoidGrad(y=sigmoid, dy=wide)
        return dy * tf.cast(slope, dy.dtype)

    return x * tf.sigmoid(x), gradient


ACTIVATIONS: dict[str, Activation] = {
    "relu": tf.nn.relu,
    "gelu": tf.nn.gelu,
    "silu": silu,
    "elu": tf.nn.elu,
    "tanh": tf.math.tanh,
}


class Activate(tf.Module):
    """Applies an activation, as a layer of a chain."""

    def __init__(self, activation: Activation, *, name: str = "activate") -> None:
        super().__init__(name=name)
        self.activation = activation

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        """Maps a tensor to one of the same shape and dtype."""
        return self.activation(x)
