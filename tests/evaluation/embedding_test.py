import logging

import numpy as np
import tensorflow as tf

from vae_lowlevel.evaluation.embedding import compile_embedding


class Model:
    image_shape = (4, 4, 1)

    def __init__(self, factor):
        self._factor = factor

    def conditioned_on(self, label):
        self._label = label
        return self

    def embed(self, image):
        z = self._factor * tf.reduce_sum(image, axis=[1, 2])
        return z + tf.cast(self._label, tf.float32)[:, None]


def test_each_of_many_models_is_traced_once_and_without_a_warning(caplog):
    image = np.full([2, 4, 4, 1], 255, np.uint8)
    label = np.array([0, 5], np.int32)
    logger = tf.get_logger()
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.WARNING):
            for factor in range(8):
                embed = compile_embedding(Model(float(factor)), 2)
                z = embed(image, label).numpy().ravel().tolist()
                assert z == [16.0 * factor, 16.0 * factor + 5]
                assert embed.experimental_get_tracing_count() == 1
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.records == []
