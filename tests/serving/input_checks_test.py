"""Checks in graphs that are called as TensorFlow Serving calls them: the session checks no shapes.

`Session.run` in Python does check them ("Cannot feed value of shape ..."), so these tests call a
callable made from options instead, which behaves like the C++ session.
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, rewriter_config_pb2

from vae_lowlevel.serving.input_checks import check_shape, check_unit_range

IMAGE = tf.TensorSpec([None, 4, 3, 1], tf.float32, name="image")
SEED = tf.TensorSpec([None], tf.int64, name="seed")


def ask(check, spec, value, rewrites=None):
    config = config_pb2.ConfigProto()
    if rewrites is not None:
        config.graph_options.rewrite_options.CopyFrom(rewrites)
    # Otherwise graphs this small are not optimised at all.
    config.graph_options.rewrite_options.min_graph_nodes = -1
    with tf.Graph().as_default() as graph:
        function = tf.function(check, input_signature=[spec])
        placeholder = tf.compat.v1.placeholder(spec.dtype, spec.shape)
        result = tf.identity(function(placeholder))
        with tf.compat.v1.Session(graph=graph, config=config) as session:
            options = config_pb2.CallableOptions(feed=[placeholder.name], fetch=[result.name])
            return session._make_callable_from_options(options)(value)[0]


def check_image(image):
    return check_shape(image, IMAGE, "encode: image")


def check_seed(seed):
    return check_shape(seed, SEED, "sample: seed")


def check_range(image):
    return check_unit_range(image, "encode: image")


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_right_shape_passes_unchanged(rows):
    value = np.random.default_rng(0).random([rows, 4, 3, 1], np.float32)
    np.testing.assert_array_equal(ask(check_image, IMAGE, value), value)


def test_static_shape_is_the_declared_one():
    traced = tf.function(check_image).get_concrete_function(tf.TensorSpec(None, tf.float32))
    assert traced.output_shapes.as_list() == [None, 4, 3, 1]


AGGRESSIVE = rewriter_config_pb2.RewriterConfig(
    constant_folding=rewriter_config_pb2.RewriterConfig.AGGRESSIVE,
    shape_optimization=rewriter_config_pb2.RewriterConfig.ON,
)
NOT_INLINED = rewriter_config_pb2.RewriterConfig(
    function_optimization=rewriter_config_pb2.RewriterConfig.OFF
)
OFF = rewriter_config_pb2.RewriterConfig(disable_meta_optimizer=True)


@pytest.mark.parametrize("rewrites", [None, AGGRESSIVE, NOT_INLINED, OFF])
@pytest.mark.parametrize("shape", [(2, 5, 3, 1), (2, 4, 3, 3), (2, 12), (), (2, 4, 3, 1, 1)])
def test_wrong_shape_names_signature_wanted_and_found(shape, rewrites):
    with pytest.raises(tf.errors.InvalidArgumentError) as caught:
        ask(check_image, IMAGE, np.zeros(shape, np.float32), rewrites)
    assert "encode: image must have shape [B, 4, 3, 1], got" in str(caught.value)
    assert f"[{' '.join(map(str, shape))}]" in str(caught.value)


@pytest.mark.parametrize("shape", [(), (2, 1), (0, 0)])
def test_wrong_rank_of_a_vector_is_refused(shape):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"sample: seed must have shape \[B\]"):
        ask(check_seed, SEED, np.zeros(shape, np.int64))


def test_right_vector_passes():
    np.testing.assert_array_equal(ask(check_seed, SEED, np.array([5, -1])), [5, -1])


def test_unit_range_includes_its_ends_and_nothing():
    ends = np.array([0.0, 1.0, 0.5] * 4, np.float32).reshape(1, 4, 3, 1)
    np.testing.assert_array_equal(ask(check_range, IMAGE, ends), ends)
    assert ask(check_range, IMAGE, ends[:0]).shape == (0, 4, 3, 1)


@pytest.mark.parametrize("pixel", [255.0, 1.0001, -0.0001, np.nan, np.inf])
def test_pixel_outside_the_unit_range_is_refused(pixel):
    image = np.full([2, 4, 3, 1], 0.25, np.float32)
    image[1, 2, 1, 0] = pixel
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"encode: image must be in \[0, 1\]"):
        ask(check_range, IMAGE, image)
