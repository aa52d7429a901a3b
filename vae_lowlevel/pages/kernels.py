"""A step of a program, and the operation of TensorFlow that it is made from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import ConfigError


class Kernel(NamedTuple):
    """One step of a program.

    Attributes:
        name: of the kernel in `graph.js`.
        inputs: which inputs of TensorFlow's operation it reads, by number.
        settings: as JSON.
    """

    name: str
    inputs: Sequence[int]
    settings: dict[str, Any]


class Source:
    """An operation of TensorFlow that is to be translated.

    Args:
        operation: of a graph in which every shape is known.
        constants: the values of its inputs that do not depend on the program's inputs, by number.
        output: number of the output that is wanted.
    """

    def __init__(
        self, operation: tf.Operation, constants: dict[int, np.ndarray], output: int
    ) -> None:
        self.operation = operation
        self.output = output
        self._constants = constants

    @property
    def shape(self) -> list[int]:
        """The shape of the output."""
        return self.operation.outputs[self.output].shape.as_list()

    def input_shape(self, number: int = 0) -> list[int]:
        """Returns the shape of an input."""
        return self.operation.inputs[number].shape.as_list()

    def is_constant(self, number: int) -> bool:
        """Returns whether an input has a known value."""
        return number in self._constants

    def constant(self, number: int) -> np.ndarray:
        """Returns the value of an input.

        Raises:
            ConfigError: it depends on z or on the label.
        """
        if number not in self._constants:
            raise self.refusal(f"whose input {number} depends on z or on the label")
        return self._constants[number]

    def attribute(self, name: str) -> Any:
        """Returns an attribute; texts as str."""
        value = self.operation.get_attr(name)
        return value.decode() if isinstance(value, bytes) else value

    def require(self, name: str, *allowed: Any) -> None:
        """Checks an attribute.

        Raises:
            ConfigError: it has another value.
        """
        found = self.attribute(name)
        if found not in allowed:
            raise self.refusal(f"with {name}={found}, only with {' or '.join(map(str, allowed))}")

    def refusal(self, reason: str = "") -> ConfigError:
        """Returns the error for an operation that the interpreter does not compute."""
        kind = " ".join(filter(None, [self.operation.type, reason]))
        return ConfigError(
            f"the explorer cannot compute TensorFlow's operation {kind} (node "
            f"{self.operation.name} of the decoder): write the report without --explorer, or add "
            "the operation to vae_lowlevel/pages/operations.py and graph.js"
        )
