"""The inputs of signatures, and the checks that a signature's graph makes of them.

TensorFlow Serving passes requests to the graph without comparing them to the declared shapes. A
value that fails a check is answered as an invalid argument that names the signature and the input.

How large a finite z or temperature may be depends on the network and its weights: float32 overflows
at 3e35 in one and at 3e38 in another. So the outputs are checked too, because JSON does not have
NaN and infinity.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.serving.pictures import decode_pictures
from vae_lowlevel.types import Model


class Input(NamedTuple):
    """An input of signatures.

    Attributes:
        spec: its name, shape [None, ...] and dtype.
        check: (value, name for messages) -> what the signature computes with; None for any value.
    """

    spec: tf.TensorSpec
    check: Callable[[tf.Tensor, str], tf.Tensor] | None = None

    def read(self, value: tf.Tensor, signature: str) -> tf.Tensor:
        """Returns what the signature computes with, or fails where the value does not fit."""
        name = f"{signature}: {self.spec.name}"
        value = check_shape(value, self.spec, name)
        return value if self.check is None else self.check(value, name)


def make_inputs(model: Model) -> dict[str, Input]:
    """Returns every input that a signature of a model may have, by name."""
    image_shape, latent_dim = model.image_shape, model.latent_dim
    check_class = functools.partial(check_label, num_classes=model.num_classes)
    check_pictures = functools.partial(decode_pictures, image_shape=image_shape)
    rows = (
        ("image", image_shape, tf.float32, check_unit_range),
        ("image_a", image_shape, tf.float32, check_unit_range),
        ("image_b", image_shape, tf.float32, check_unit_range),
        ("image_bytes", (), tf.string, check_pictures),
        ("z", (latent_dim,), tf.float32, check_finite),
        ("seed", (), tf.int64, None),
        ("temperature", (), tf.float32, check_at_least_zero),
        ("label", (), tf.int32, check_class),
    )
    return {
        name: Input(tf.TensorSpec([None, *shape], dtype, name), check)
        for name, shape, dtype, check in rows
    }


def check_shape(value: tf.Tensor, spec: tf.TensorSpec, name: str) -> tf.Tensor:
    """Fails when a value does not have the declared rank and sizes.

    Args:
        value: an input of a signature.
        spec: its declared shape, of which the first size, B, is free.
        name: for the message, here and below: "<signature>: <input>".

    Returns:
        `value`, with the static shape of `spec`.
    """
    # Shape inference believes what the placeholder declares. After this operation the shape is
    # unknown, so no graph optimizer can decide the check in advance.
    value = tf.raw_ops.PlaceholderWithDefault(input=value, shape=tf.TensorShape(None))
    rank = len(spec.shape)
    wanted = tf.constant(spec.shape[1:].as_list(), tf.int32)
    found = tf.shape(value)
    # Padded with -1 to the length of `wanted`: a lower rank is then an unequal size. Comparing
    # different lengths would fail with another message.
    sizes = tf.concat([found[1:], tf.fill([rank - 1], -1)], 0)[: rank - 1]
    is_right = tf.logical_and(
        tf.equal(tf.size(found), rank), tf.reduce_all(tf.equal(sizes, wanted))
    )
    declared = ", ".join(["B", *map(str, spec.shape[1:])])
    message = f"{name} must have shape [{declared}], got"
    with tf.control_dependencies([tf.debugging.Assert(is_right, [message, found], summarize=8)]):
        return tf.ensure_shape(value, spec.shape)


def check_unit_range(image: tf.Tensor, name: str) -> tf.Tensor:
    """Returns float32 [B, H, W, C]; fails when a pixel is outside [0, 1] or NaN."""
    is_right = tf.reduce_all(tf.logical_and(image >= 0.0, image <= 1.0))
    message = f"{name} must be in [0, 1] (divide 8-bit pixels by 255), got values from"
    return _assert(is_right, image, message, tf.reduce_min(image), "to", tf.reduce_max(image))


def check_finite(value: tf.Tensor, name: str) -> tf.Tensor:
    """Returns float32 [B, ...]; fails when a number is NaN or infinite."""
    is_right = tf.reduce_all(tf.math.is_finite(value))
    return _assert(is_right, value, f"{name} must be finite, got NaN or infinity")


def check_at_least_zero(value: tf.Tensor, name: str) -> tf.Tensor:
    """Returns float32 [B, ...]; fails when a number is negative, NaN or infinite."""
    is_right = tf.reduce_all(tf.logical_and(value >= 0.0, tf.math.is_finite(value)))
    message = f"{name} must be finite and at least 0, got values from"
    return _assert(is_right, value, message, tf.reduce_min(value), "to", tf.reduce_max(value))


def check_label(label: tf.Tensor, name: str, *, num_classes: int) -> tf.Tensor:
    """Returns int32 [B]; fails when a label is neither a class nor -1 for unknown."""
    is_right = tf.reduce_all(tf.logical_and(label >= -1, label < num_classes))
    message = f"{name} must be in [-1, {num_classes - 1}] (-1: unknown), got"
    return _assert(is_right, label, message, label)


def check_equal_rows(
    values: Sequence[tf.Tensor], names: Sequence[str], signature: str
) -> list[tf.Tensor]:
    """Returns the inputs of a signature, each [B, ...]; fails when their numbers of rows differ."""
    if len(values) == 1:
        return list(values)
    rows = tf.stack([tf.shape(value)[0] for value in values])
    message = f"{signature}: {' and '.join(names)} must have equally many rows, got"
    is_right = tf.reduce_all(tf.equal(rows, rows[0]))
    return [_assert(is_right, value, message, rows) for value in values]


def _assert(is_right: tf.Tensor, value: tf.Tensor, *found: str | tf.Tensor) -> tf.Tensor:
    """Returns `value`, or fails with what was found."""
    with tf.control_dependencies([tf.debugging.Assert(is_right, list(found))]):
        return tf.identity(value)


def check_outputs(
    outputs: dict[str, tf.Tensor], names: Sequence[str], signature: str
) -> dict[str, tf.Tensor]:
    """Returns the outputs; fails when a number is NaN or infinite, and names the first such row.

    Args:
        outputs: by name, [B, ...].
        names: of the inputs, for the message.
        signature: its name, for the message.
    """
    checked = {}
    for key, value in outputs.items():
        if not value.dtype.is_floating:
            checked[key] = value
            continue
        is_finite = tf.reduce_all(tf.math.is_finite(value), axis=np.arange(1, value.shape.rank))
        given = " and ".join(names)
        message = f"{signature}: the output {key} is NaN or infinite for this {given}, row"
        # Of a batch of no rows the position is not looked at.
        row = tf.math.argmin(tf.concat([tf.cast(is_finite, tf.int32), [1]], 0))
        checked[key] = _assert(tf.reduce_all(is_finite), value, message, row)
    return checked


class CheckedFunction:
    """A function behind the checks of its inputs and outputs, for `tf.function`.

    An object instead of a closure: `tf.function` counts how often one piece of code is traced, and
    would warn that it is traced too often.

    Args:
        name: of the signature, for messages.
        compute: checked inputs -> outputs by name; pictures arrive as float32 [B, H, W, C].
        inputs: in the order of `compute`'s arguments.
    """

    def __init__(
        self, name: str, compute: Callable[..., dict[str, tf.Tensor]], inputs: Sequence[Input]
    ) -> None:
        self.__name__ = name
        self._names = [declared.spec.name for declared in inputs]
        # From here tf.function knows the names of the inputs as keywords.
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        self.__signature__ = inspect.Signature(
            [inspect.Parameter(name, kind) for name in self._names]
        )
        self._compute = compute
        self._inputs = inputs

    def __call__(self, *values: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the outputs, or fails where a value does not fit its input, or gives NaN."""
        checked = [
            declared.read(value, self.__name__)
            for declared, value in zip(self._inputs, values, strict=True)
        ]
        outputs = self._compute(*check_equal_rows(checked, self._names, self.__name__))
        return check_outputs(outputs, self._names, self.__name__)
