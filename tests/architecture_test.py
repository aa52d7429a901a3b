"""Reads the source of the package and holds it to its architecture."""

from __future__ import annotations

import ast
import pathlib
import re

import pytest

import vae_lowlevel

PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent
TESTS = pathlib.Path(__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# What everything may import; among themselves they stay free of the rest.
LEAVES = {"errors", "files", "types", "options", "randomness", "psnr", "config"}
# What the entry points do, and what a notebook calls: these put everything together, and only the
# entry points and they themselves import them.
BODIES = {
    "workflow",
    "measuring",
    "initial_state",
    "feeding",
    "loading",
    "inference",
    "array_vae",
    "anomaly",
}
USED_BY_ENTRY_POINTS = {
    "settings",
    "startup",
    "assembly",
    "training",
    "evaluation",
    "serving",
    *BODIES,
}
# Who may import whom, besides the leaves and the own package.
ALLOWED = {
    "layers": set(),
    "networks": {"layers"},
    "distributions": set(),
    "models": {"distributions"},
    "objectives": set(),
    "optimizers": set(),
    "data": set(),
    "training": set(),
    "evaluation": set(),
    "serving": set(),
    "assembly": {
        "data",
        "layers",
        "networks",
        "distributions",
        "models",
        "objectives",
        "optimizers",
    },
    "settings": set(),
    "startup": {"settings"},
    "train": USED_BY_ENTRY_POINTS,
    "evaluate": USED_BY_ENTRY_POINTS,
    "export": USED_BY_ENTRY_POINTS,
}
FLAGS_MODULES = {"settings", "train", "evaluate", "export", "inference", "startup"}
# Tests that mirror no module: of the source, of flags/*.cfg, of all models, of all exports,
# of tools, of a real server and of several processes.
FREE_TESTS = {
    "architecture_test.py",
    "flagfiles_test.py",
    "conformance_test.py",
    "conformance_product_test.py",
    "conformance_table_test.py",
    "contract_test.py",
    "benchmark_test.py",
    "serving_client_test.py",
    "model_server_test.py",
    "multi_worker_test.py",
}


def unit_of(path):
    """Returns the package or top module of a file: `layers`, `assembly`, `__init__`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imported_modules(tree):
    """Returns the dotted name of everything imported, within functions too."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def imported_units(tree):
    """Returns the packages and top modules of our own that are imported."""
    own = [name.split(".") for name in imported_modules(tree) if name.split(".")[0] == PACKAGE.name]
    return {parts[1] if len(parts) > 1 else "__init__" for parts in own}


def dotted_names(tree):
    """Returns every `a.b.c` in the code."""
    return {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def identifiers(tree):
    """Returns every name in the code: variables, attributes, imports; not comments or texts."""
    names = set(imported_modules(tree))
    for node in ast.walk(tree):
        names |= {
            getattr(node, field)
            for field in ("id", "attr", "asname", "arg", "name")
            if isinstance(getattr(node, field, None), str)
        }
    return names


def string_constants(tree):
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


every_file = pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))


def test_every_unit_has_its_place_in_the_architecture():
    known = {*LEAVES, *ALLOWED, *BODIES, "__init__"}
    assert {unit_of(path) for path in FILES} - known == set()


@every_file
def test_imports_follow_the_arrows(path):
    unit = unit_of(path)
    if unit in BODIES or unit == "__init__":
        return
    allowed = LEAVES | ALLOWED.get(unit, set()) | {unit}
    forbidden = imported_units(parse(path)) - allowed
    assert not forbidden, f"{unit} may import {sorted(allowed)}, not {sorted(forbidden)}"


@every_file
def test_keras_is_nowhere(path):
    tree = parse(path)
    assert not [name for name in identifiers(tree) if "keras" in name.lower()]
    # Nor imported by its name as a text.
    module = re.compile(r"(tensorflow\.)?(tf_)?keras(\.[\w.]+)?")
    assert not [text for text in string_constants(tree) if module.fullmatch(text)]


@every_file
def test_only_settings_and_entry_points_touch_absl(path):
    if unit_of(path) not in FLAGS_MODULES:
        names = dotted_names(parse(path)) | imported_modules(parse(path))
        pattern = r"absl\.(flags|app)\b|.*\bcompat\.v1\.(flags|app)\b"
        assert not [name for name in names if re.match(pattern, name)]


@every_file
def test_only_training_names_a_distribution_strategy(path):
    if unit_of(path) != "training":
        names = dotted_names(parse(path)) | imported_modules(parse(path))
        assert not [name for name in names if re.match(r"(tf|tensorflow)\.distribute\b", name)]


@every_file
def test_file_says_what_it_is_and_is_short(path):
    assert ast.get_docstring(parse(path))
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300


def mirrored_modules(test):
    """Returns where the module of a test file may be.

    pytest wants file names to be unique, so a name that two packages use takes its package's:
    tests/networks/networks_conv_test.py for vae_lowlevel/networks/conv.py.
    """
    folder = PACKAGE / test.parent.relative_to(TESTS)
    stem = test.name.removesuffix("_test.py")
    stems = {stem, stem.removeprefix(f"{folder.name}_")}
    return [folder / f"{name}.py" for name in stems] + [folder / stem / "__init__.py"]


TEST_FILES = sorted(TESTS.rglob("*_test.py"))


@pytest.mark.parametrize("test", TEST_FILES, ids=lambda test: str(test.relative_to(TESTS)))
def test_tests_mirror_the_package(test):
    if test.name not in FREE_TESTS:
        assert any(module.is_file() for module in mirrored_modules(test))


def test_names_of_test_files_are_unique():
    names = [test.name for test in TEST_FILES]
    assert len(set(names)) == len(names)
    assert not list(TESTS.rglob("__init__.py"))
    assert not list(TESTS.rglob("test_*.py"))
