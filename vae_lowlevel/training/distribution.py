"""The strategy that places a run on its devices."""

from __future__ import annotations

import tensorflow as tf


def build_strategy() -> tf.distribute.Strategy:
    """Returns the strategy of one device: TensorFlow's default.

    Everything of a run is built inside its scope and every step goes through its `run`, so that
    another strategy takes the same loop to several replicas.
    """
    return tf.distribute.get_strategy()
