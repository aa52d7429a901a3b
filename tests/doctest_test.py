"""The examples in docstrings, run as they stand there."""

import doctest
import importlib
import pathlib

import pytest

import vae_lowlevel

PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent
FILES = [path for path in sorted(PACKAGE.rglob("*.py")) if ">>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_examples_print_what_they_say(path):
    name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    module = importlib.import_module(name.removesuffix(".__init__"))
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.attempted > 0
    assert result.failed == 0


def test_what_a_user_calls_has_an_example():
    found = {str(path.relative_to(PACKAGE)) for path in FILES}
    assert {"api.py", "config/__init__.py", "data/load.py"} <= found
