from __future__ import annotations

import dataclasses
import math

import pytest

from vae_lowlevel.config.fields import check, option, value_types
from vae_lowlevel.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Settings:
    count: int = option(3, "A count.", at_least=1, below=10)
    rate: float = option(0.5, "A rate.", above=0, at_most=1)
    limit: float | None = option(None, "A limit.", above=0)
    sizes: tuple[int, ...] = option((4, 2), "Sizes.", at_least=1)
    colour: str = option("red", "A colour.", choices=("red", "green"))
    folder: str | None = option(None, "A folder.")
    fast: bool = option(False, "Whether it is fast.")


def test_defaults_pass():
    check(Settings())


def test_value_types_gives_the_plain_type_and_whether_none_is_allowed():
    assert value_types(Settings) == {
        "count": (int, False),
        "rate": (float, False),
        "limit": (float, True),
        "sizes": (tuple, False),
        "colour": (str, False),
        "folder": (str, True),
        "fast": (bool, False),
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("count", 2.0),
        ("count", "2"),
        ("count", True),
        ("count", None),
        ("rate", "0.5"),
        ("rate", True),
        ("limit", "1"),
        ("sizes", 4),
        ("sizes", "4,2"),
        ("sizes", (4, 2.5)),
        ("sizes", ("4",)),
        ("sizes", (True,)),
        ("colour", 1),
        ("folder", 1),
        ("fast", 1),
        ("fast", "true"),
    ],
)
def test_value_of_another_type_is_refused_by_name_and_value(name, value):
    with pytest.raises(ConfigError) as caught:
        check(Settings(**{name: value}))
    assert f"--{name} must be of type" in str(caught.value)
    assert repr(value) in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("count", 1), ("count", 9), ("rate", 1e-30), ("rate", 1.0), ("sizes", (1,)), ("sizes", ())],
)
def test_values_at_the_edge_of_the_range_pass(name, value):
    check(Settings(**{name: value}))


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("count", 0, "at least 1 and below 10"),
        ("count", 10, "at least 1 and below 10"),
        ("rate", 0.0, "above 0 and at most 1"),
        ("rate", 1.0001, "above 0 and at most 1"),
        ("limit", -1.0, "above 0"),
        ("sizes", (4, 0), "at least 1"),
        ("rate", math.nan, "finite"),
        ("limit", math.inf, "finite"),
        ("colour", "blue", "one of red, green"),
        ("colour", "Red", "one of red, green"),
    ],
)
def test_value_out_of_range_is_refused_with_what_is_allowed(name, value, wanted):
    with pytest.raises(ConfigError) as caught:
        check(Settings(**{name: value}))
    assert str(caught.value) == f"--{name} must be {wanted}, got {value!r}"


def test_whole_numbers_become_floats_and_lists_tuples():
    settings = Settings(rate=1, limit=2, sizes=[5, 6])
    check(settings)
    assert settings == Settings(rate=1.0, limit=2.0, sizes=(5, 6))
    assert type(settings.rate) is float
    assert type(settings.limit) is float
    assert type(settings.sizes) is tuple
