"""Reads the source of the package and holds it to its architecture: one test per rule."""

import ast
import pathlib
import re

import vae_lowlevel

PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent
TESTS = pathlib.Path(__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# Who may import whom, from the bottom up. A unit is a module or a package at the top of ours; a
# package may always import its own modules.
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "randomness": set(),
    "schedules": set(),
    "types": {"randomness", "schedules"},
    "config": {"errors", "files"},
    "layers": {"randomness"},
    "networks": {"layers", "errors", "randomness"},
    "distributions": set(),
    "models": {"distributions", "types"},
    "objectives": {"types", "randomness", "schedules"},
    "optimizers": {"types"},
    "data": {"config", "errors", "types"},
    "training": {"config", "errors", "files", "randomness", "schedules", "types"},
    "evaluation": {"randomness", "types"},
    "plots": {"files", "types"},
    "serving": {"errors", "files", "types"},
    "pages": {"errors", "types"},
    "assembly": {
        *("config", "layers", "networks", "distributions", "models", "objectives", "optimizers"),
        *("errors", "randomness", "schedules", "types"),
    },
    "experiment": {
        *("assembly", "config", "data", "evaluation", "models", "objectives", "optimizers"),
        *("pages", "plots", "serving", "training", "errors", "files", "randomness", "types"),
        # Its __init__, for the version alone.
        "__init__",
    },
    "cli": {"config", "errors", "experiment"},
    "train": {"cli", "config", "experiment"},
    "evaluate": {"cli", "config", "experiment"},
    "export": {"cli", "config", "experiment"},
    "visualize": {"cli", "config", "experiment"},
    "report": {"cli", "config", "experiment"},
    "inference": {"cli", "config", "experiment"},
    "api": {
        *("assembly", "config", "data", "errors", "experiment", "models", "plots", "serving"),
        "types",
    },
    "__main__": set(),
    # Public names, loaded on first use by their names as texts.
    "__init__": set(),
}
FLAGS_FILES = {"config/flags.py"}
MOST_FILES, MOST_ROOT_MODULES, MOST_LINES = 220, 15, 300

# Tests that mirror no module: of the source, of flags/*.cfg, of all models, of all exports,
# of tools, of a real server and of several processes.
FREE_TESTS = {
    "architecture",
    "main",
    "flagfiles",
    "conformance",
    "contract",
    "benchmark",
    "serving_client",
    "model_server",
    "multi_worker",
    "minimal_vae",
    "tensorboard_browser",
    "doctest",
    "flags_reference",
    "extending",
    "docs",
    "notebooks",
    "cookbook",
}


def name_of(path):
    return path.relative_to(PACKAGE).as_posix()


def unit_of(path):
    """Returns the package or top module of a file: `layers`, `cli`, `__init__`."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


TREES = {path: parse(path) for path in FILES}


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
    """Returns every `a.b.c` in the code and every import."""
    used = {ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return used | imported_modules(tree)


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


def files_with(matches):
    """Returns {file: what was found} of the files in which `matches(path, tree)` finds any."""
    found = {name_of(path): matches(path, tree) for path, tree in TREES.items()}
    return {name: what for name, what in found.items() if what}


def test_every_unit_has_its_place():
    assert {unit_of(path) for path in FILES} == set(ALLOWED)


def test_imports_follow_the_arrows():
    def forbidden(path, tree):
        unit = unit_of(path)
        return imported_units(tree) - ALLOWED[unit] - {unit}

    assert files_with(forbidden) == {}


def test_no_arrow_is_drawn_that_nobody_takes():
    taken = {unit: set() for unit in ALLOWED}
    for path, tree in TREES.items():
        taken[unit_of(path)] |= imported_units(tree)
    assert {unit: allowed - taken[unit] for unit, allowed in ALLOWED.items()} == {
        unit: set() for unit in ALLOWED
    }


def test_arrows_lead_downwards():
    placed = set()
    for unit, allowed in ALLOWED.items():
        assert allowed - placed - {"__init__"} == set(), f"{unit} stands too low"
        placed.add(unit)


def test_keras_is_nowhere():
    # Nor imported by its name as a text.
    module = re.compile(r"(tensorflow\.)?(tf_)?keras(\.[\w.]+)?")

    def keras(path, tree):
        texts = [text for text in string_constants(tree) if module.fullmatch(text)]
        return [name for name in identifiers(tree) if "keras" in name.lower()] + texts

    assert files_with(keras) == {}


def test_only_the_flags_touch_absl():
    pattern = re.compile(r"absl\.(flags|app)\b|.*\bcompat\.v1\.(flags|app)\b")

    def absl(path, tree):
        return [name for name in dotted_names(tree) if pattern.match(name)]

    assert set(files_with(absl)) == FLAGS_FILES


def test_only_training_names_a_distribution_strategy():
    pattern = re.compile(r"(tf|tensorflow)\.distribute\b")

    def strategies(path, tree):
        is_training = unit_of(path) == "training"
        return not is_training and [name for name in dotted_names(tree) if pattern.match(name)]

    assert files_with(strategies) == {}


def test_settings_need_no_tensorflow():
    def tensorflow(path, tree):
        outside = ("config", "cli", "errors")
        return unit_of(path) in outside and {
            name for name in imported_modules(tree) if name.startswith("tensorflow")
        }

    assert files_with(tensorflow) == {}


def test_what_a_model_can_do_is_in_its_contract():
    """No `hasattr` of a model, and no `tf.Module` as its type."""

    def guesses(path, tree):
        asked = [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("hasattr", "getattr")
            and "model" in ast.unparse(node.args[0])
        ]
        typed = [
            argument.arg
            for node in ast.walk(tree)
            if isinstance(node, ast.FunctionDef)
            for argument in (*node.args.args, *node.args.kwonlyargs)
            if "model" in argument.arg
            and argument.annotation is not None
            and ast.unparse(argument.annotation) == "tf.Module"
        ]
        return unit_of(path) != "config" and asked + typed

    assert files_with(guesses) == {}


def test_the_paths_of_a_run_are_spelled_in_one_file():
    names = {"flags.cfg", "data.json", "metrics.json", "ckpt", "best", "data.npz"}

    def spelled(path, tree):
        return unit_of(path) != "config" and names & string_constants(tree)

    assert set(files_with(spelled)) == {"experiment/folder.py"}


def test_pixels_are_scaled_in_one_place():
    pattern = re.compile(r"/ (np\.float32\()?255")

    def scaled(path, tree):
        return [
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Div)
            and pattern.search(ast.unparse(node))
        ]

    assert set(files_with(scaled)) == {"types.py"}


def test_every_file_says_what_it_is_and_is_short():
    def wrong(path, tree):
        lines = len(path.read_text(encoding="utf-8").splitlines())
        return not ast.get_docstring(tree) or lines > MOST_LINES

    assert files_with(wrong) == {}


def test_the_house_stays_small():
    assert len(FILES) <= MOST_FILES
    assert len(list(PACKAGE.glob("*.py"))) <= MOST_ROOT_MODULES


def test_tests_mirror_the_package():
    """A test file is named after its module: `<module>_test.py` or `<module>_<aspect>_test.py`.

    The tests of `faults/` are named after what goes wrong.
    """
    homeless = []
    for test in TESTS.rglob("*_test.py"):
        folder = test.parent.relative_to(TESTS)
        if folder.name == "faults":
            continue
        stem = test.name.removesuffix("_test.py")
        modules = [path.stem for path in (PACKAGE / folder).glob("*.py")]
        # Of a package as a whole, such as tests/assembly_test.py.
        modules += [path.parent.name for path in (PACKAGE / folder).glob("*/__init__.py")]
        # Of its __init__.py: tests/config/config_test.py.
        modules.append(folder.name)
        known = [*modules, *FREE_TESTS]
        if not any(stem == name or stem.startswith(f"{name}_") for name in known if name):
            homeless.append(str(test.relative_to(TESTS)))
    assert homeless == []
    assert not list(TESTS.rglob("__init__.py"))
    assert not list(TESTS.rglob("test_*.py"))
