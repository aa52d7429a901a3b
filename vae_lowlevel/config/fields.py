"""Declares one setting as one dataclass field: default, help, range and what a change of it means.

`flags.py` turns these fields into flags. `check` reports a bad value in the same words, whether it
comes from the command line or from Python.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal

from vae_lowlevel.errors import ConfigError

Resume = Literal["identity", "total", "numerics", "free"]

# The upper bound of every whole number that has no lower one: TensorFlow counts in int32.
MAX_INT = 2**31 - 1
_MAX_FLOAT32 = (2.0 - 2.0**-23) * 2.0**127
# A list has an entry per layer, and a text is a path at most.
_MAX_ENTRIES = 1000
_MAX_CHARACTERS = 4096
# Control characters, halves of characters and line ends: a flagfile cannot hold them.
_REFUSED_CHARACTERS = ("Cc", "Cs", "Zl", "Zp")
_MOST_QUOTED = 200


class Options:
    """What the flags of a program are read into: one group of settings; `Config` has several.

    A subclass is a dataclass of `option` fields whose docstring is the title in `--help`.

    Attributes:
        tensorflow_log: whether TensorFlow's own start-up lines are shown.
    """

    tensorflow_log: bool

    @classmethod
    def groups(cls) -> dict[str, type]:
        """Returns the dataclass of each group of settings, by the name of its attribute."""
        return {"": cls}

    @classmethod
    def from_flat(cls, values: Mapping[str, Any]) -> Options:
        """Builds the options from `{flag name: value}`; settings left out keep their defaults."""
        return cls(**values)


def option(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] | None = None,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    resume: Resume = "identity",
    instead_of: str | None = None,
    can_unset: bool = True,
) -> Any:
    """Declares a setting.

    Args:
        default: the value when the flag is not given; None for "not set".
        help: text for `--help`: what the value does, and its unit.
        choices: the allowed strings.
        at_least: inclusive lower bound (for a tuple: of each element).
        above: exclusive lower bound.
        at_most: inclusive upper bound; of a whole number 2**31 - 1 if there is no other.
        below: exclusive upper bound.
        resume: what a different value means when a run resumes. "identity": it is another model or
            other data, so it is refused. "total": the length of the run changes. "numerics": the
            result is not bit for bit that of an unbroken run. "free": nothing learned changes.
        instead_of: name of a setting of the same group that excludes this one.
        can_unset: whether an empty value on the command line unsets a setting whose default is
            None; otherwise it is refused.

    Returns:
        A dataclass field.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "resume": resume,
        "instead_of": instead_of,
        "can_unset": can_unset,
        "bounds": {
            "at least": (at_least, lambda value, bound: value >= bound),
            "above": (above, lambda value, bound: value > bound),
            "at most": (at_most, lambda value, bound: value <= bound),
            "below": (below, lambda value, bound: value < bound),
        },
    }
    return dataclasses.field(default=default, metadata=metadata)


def value_types(group: type) -> dict[str, tuple[type, bool]]:
    """Returns, for each field of a dataclass, its plain type and whether None is allowed."""
    resolved = {}
    for name, hint in typing.get_type_hints(group).items():
        optional = False
        if typing.get_origin(hint) in (typing.Union, types.UnionType):
            (hint,) = (arm for arm in typing.get_args(hint) if arm is not type(None))
            optional = True
        resolved[name] = (typing.get_origin(hint) or hint, optional)
    return resolved


def check(settings: Any) -> None:
    """Checks type, choices and bounds of every field of a dataclass instance.

    Raises:
        ConfigError: the message names the flag, what is allowed and what was given.
    """
    kinds = value_types(type(settings))
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        kind, optional = kinds[field.name]
        if value is None and optional:
            continue
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value) if abs(value) <= _MAX_FLOAT32 else math.inf
            object.__setattr__(settings, field.name, value)
        if kind is tuple and isinstance(value, list):
            value = tuple(value)
            object.__setattr__(settings, field.name, value)
        mistyped_bool = isinstance(value, bool) and kind is not bool
        if not isinstance(value, kind) or mistyped_bool:
            raise ConfigError(f"--{field.name} must be of type {kind.__name__}, got {quote(value)}")
        if kind is tuple and any(type(element) is not int for element in value):
            raise ConfigError(f"--{field.name} must be of type tuple of int, got {quote(value)}")
        if kind is str:
            _check_text(field.name, value)
        _check_range(field, value)
        other = field.metadata["instead_of"]
        if other is not None and getattr(settings, other) is not None:
            raise ConfigError(
                f"--{other}={getattr(settings, other)} and --{field.name}={value} exclude each "
                "other: give one of the two"
            )


def _check_range(field: dataclasses.Field, value: Any) -> None:
    choices = field.metadata["choices"]
    if choices is not None and value not in choices:
        raise ConfigError(f"--{field.name} must be one of {', '.join(choices)}, got {quote(value)}")
    if isinstance(value, tuple) and len(value) > _MAX_ENTRIES:
        raise ConfigError(
            f"--{field.name} must have at most {_MAX_ENTRIES} entries, got {len(value)}"
        )
    bounds = [(word, *bound) for word, bound in field.metadata["bounds"].items()]
    bounds = [bound for bound in bounds if bound[1] is not None]
    for element in value if isinstance(value, tuple) else (value,):
        if isinstance(element, float) and not abs(element) <= _MAX_FLOAT32:
            raise ConfigError(f"--{field.name} must be finite, got {value!r}")
        if not all(holds(element, bound) for _, bound, holds in bounds):
            wanted = " and ".join(f"{word} {bound}" for word, bound, _ in bounds)
            raise ConfigError(f"--{field.name} must be {wanted}, got {quote(value)}")
        has_limit = any(word in ("at most", "below") for word, _, _ in bounds)
        if isinstance(element, int) and element > MAX_INT and not has_limit:
            raise ConfigError(f"--{field.name} must be at most {MAX_INT}, got {quote(value)}")


def _check_text(name: str, value: str) -> None:
    if len(value) > _MAX_CHARACTERS:
        raise ConfigError(
            f"--{name} must have at most {_MAX_CHARACTERS} characters, got {quote(value)}"
        )
    if any(unicodedata.category(character) in _REFUSED_CHARACTERS for character in value):
        raise ConfigError(
            f"--{name} must have no line ends, control characters or undecodable bytes, got "
            f"{quote(value)}"
        )
    if value != value.strip():
        raise ConfigError(f"--{name} must not begin or end with a space, got {quote(value)}")


def quote(value: Any) -> str:
    """Returns a value as an error message shows it: on one line, and not endless."""
    text = repr(value)
    if len(text) <= _MOST_QUOTED:
        return text
    return f"{text[:_MOST_QUOTED]}... ({len(text)} characters)"
