"""Checks that a signature's graph makes of its own inputs.

TensorFlow Serving hands requests to the graph without comparing them to the declared shapes. What
fails here is answered as an invalid argument that names the signature and the input.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import tensorflow as tf

from vae_lowlevel.serving.pictures import decode_pictures


def check_shape(value: tf.Tensor, spec: tf.TensorSpec, signature: str) -> tf.Tensor:
    """Fails when the tensor at hand has not the declared rank and sizes.

    Args:
        value: an input of the signature.
        spec: its name and declared shape, of which the first size, B, is free.
        signature: for the message.

    Returns:
        `value`, with the static shape of `spec`.
    """
    # Shape inference believes what the placeholder declares. Behind this operation it knows
    # nothing, so no graph optimizer can take the check for decided.
    value = tf.raw_ops.PlaceholderWithDefault(input=value, shape=tf.TensorShape(None))
    rank = len(spec.shape)
    wanted = tf.constant(spec.shape[1:].as_list(), tf.int32)
    found = tf.shape(value)
    # Filled up with -1 to the length of `wanted`: a lower rank is then an unequal size, where a
    # comparison of other lengths would fail with its own message.
    sizes = tf.concat([found[1:], tf.fill([rank - 1], -1)], 0)[: rank - 1]
    is_right = tf.logical_and(
        tf.equal(tf.size(found), rank), tf.reduce_all(tf.equal(sizes, wanted))
    )
    declared = ", ".join(["B", *map(str, spec.shape[1:])])
    message = f"{signature}: {spec.name} must have shape [{declared}], got"
    with tf.control_dependencies([tf.debugging.Assert(is_right, [message, found], summarize=8)]):
        return tf.ensure_shape(value, spec.shape)


def check_unit_range(image: tf.Tensor, spec: tf.TensorSpec, signature: str) -> tf.Tensor:
    """Fails when a pixel lies outside [0, 1] or is NaN.

    Args:
        image: float32 [B, H, W, C].
        spec: for the name in the message.
        signature: for the message.

    Returns:
        `image`.
    """
    is_right = tf.reduce_all(tf.logical_and(image >= 0.0, image <= 1.0))
    wanted = f"{spec.name} must be in [0, 1] (divide 8-bit pixels by 255)"
    message = f"{signature}: {wanted}, got values from"
    found = [message, tf.reduce_min(image), "to", tf.reduce_max(image)]
    return _with_assertion(image, is_right, found)


def check_finite(value: tf.Tensor, spec: tf.TensorSpec, signature: str) -> tf.Tensor:
    """Fails when a number is NaN or infinite; arguments as of `check_unit_range`."""
    message = f"{signature}: {spec.name} must be finite, got NaN or infinity"
    return _with_assertion(value, tf.reduce_all(tf.math.is_finite(value)), [message])


def check_at_least_zero(value: tf.Tensor, spec: tf.TensorSpec, signature: str) -> tf.Tensor:
    """Fails when a number is negative, NaN or infinite; arguments as of `check_unit_range`."""
    is_right = tf.reduce_all(tf.logical_and(value >= 0.0, tf.math.is_finite(value)))
    message = f"{signature}: {spec.name} must be finite and at least 0, got values from"
    found = [message, tf.reduce_min(value), "to", tf.reduce_max(value)]
    return _with_assertion(value, is_right, found)


def check_label(label: tf.Tensor, num_classes: int, signature: str) -> tf.Tensor:
    """Fails when a label is no class.

    Args:
        label: int32 [B].
        num_classes: K; -1 is the unknown class.
        signature: for the message.

    Returns:
        `label`.
    """
    message = f"{signature}: label must be in [-1, {num_classes - 1}] (-1: unknown), got"
    is_class = tf.reduce_all(tf.logical_and(label >= -1, label < num_classes))
    return _with_assertion(label, is_class, [message, label])


def check_equal_rows(
    inputs: Sequence[tf.Tensor], specs: Sequence[tf.TensorSpec], signature: str
) -> list[tf.Tensor]:
    """Fails when the inputs of a signature have not the same number of rows B.

    Args:
        inputs: each [B, ...].
        specs: their names.
        signature: for the message.

    Returns:
        `inputs`.
    """
    if len(inputs) == 1:
        return list(inputs)
    rows = tf.stack([tf.shape(value)[0] for value in inputs])
    names = " and ".join(spec.name for spec in specs)
    message = f"{signature}: {names} must have equally many rows, got"
    is_right = tf.reduce_all(tf.equal(rows, rows[0]))
    return [_with_assertion(value, is_right, [message, rows]) for value in inputs]


def _with_assertion(value: tf.Tensor, is_right: tf.Tensor, found: list) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(is_right, found)]):
        return tf.identity(value)


Outputs = dict[str, tf.Tensor]


class CheckedInputs:
    """A function of a signature: fails by name on inputs that do not fit, then computes.

    An object rather than a closure: `tf.function` counts the tracings of one piece of code, and
    would warn of too many.

    Args:
        name: of the signature, for the messages.
        compute: on the checked inputs; pictures arrive as float32 [B, H, W, C].
        specs: names, shapes and dtypes of the inputs.
        model: knows the image's shape and the number of classes.
    """

    def __init__(
        self,
        name: str,
        compute: Callable[..., Outputs],
        specs: Sequence[tf.TensorSpec],
        model: tf.Module,
    ) -> None:
        self.__name__ = name
        # tf.function takes from here the names of the inputs as keywords.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(spec.name, kind) for spec in specs]
        )
        self._compute = compute
        self._specs = specs
        self._model = model

    def __call__(self, *inputs: tf.Tensor) -> Outputs:
        """Returns the outputs, or fails by name where the inputs do not fit."""
        pairs = zip(inputs, self._specs, strict=True)
        checked = [self._check(value, spec) for value, spec in pairs]
        return self._compute(*check_equal_rows(checked, self._specs, self.__name__))

    def _check(self, value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
        value = check_shape(value, spec, self.__name__)
        if spec.name == "image_bytes":
            return decode_pictures(value, self._model.image_shape, self.__name__)
        if spec.name in ("image", "image_a", "image_b"):
            return check_unit_range(value, spec, self.__name__)
        if spec.name == "label":
            return check_label(value, self._model.num_classes, self.__name__)
        if spec.name == "temperature":
            return check_at_least_zero(value, spec, self.__name__)
        return check_finite(value, spec, self.__name__) if spec.name == "z" else value
