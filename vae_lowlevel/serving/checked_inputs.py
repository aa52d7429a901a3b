"""A signature's function: its inputs are checked, then it computes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence

import tensorflow as tf

from vae_lowlevel.serving.input_checks import (
    check_at_least_zero,
    check_equal_rows,
    check_finite,
    check_label,
    check_shape,
    check_unit_range,
)
from vae_lowlevel.serving.pictures import decode_pictures

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
