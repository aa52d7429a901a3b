"""Smooth bounds for the outputs of a network."""

from __future__ import annotations

import math

import tensorflow as tf


def soft_clip(x: tf.Tensor, bound: float) -> tf.Tensor:
    """Computes bound tanh(x / bound): in (-bound, bound), and about x near 0."""
    return bound * tf.math.tanh(x / bound)


def inverse_soft_clip(y: float, bound: float) -> float:
    """Returns x with soft_clip(x, bound) = y, for y in (-bound, bound)."""
    return bound * math.atanh(y / bound)
