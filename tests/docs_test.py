"""What the pages in docs/ name exists: code, flags, files, messages."""

import ast
import pathlib
import re
import shlex
import sys

import pytest

import vae_lowlevel
from vae_lowlevel.config.flags import parse

ROOT = pathlib.Path(__file__).parents[1]
PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent
PAGES = [ROOT / "docs" / f"{name}.md" for name in ("concepts", "choosing", "faq", "extending")]
# Flags of other programs: tools/benchmark.py, saved_model_cli, tensorflow_model_server.
OTHER_FLAGS = {
    *("quick", "dir", "all"),
    *("model_config_file_poll_wait_seconds", "allow_version_labels_for_unavailable_models"),
}

sys.path.insert(0, str(ROOT / "tools"))
import flags_reference  # noqa: E402


def names_in(tree):
    """Returns the names of a module: `name` of its top level, and `Class.name`."""
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            inner = [n for n in node.body if isinstance(n, (ast.FunctionDef, ast.AnnAssign))]
            names |= {f"{node.name}.{getattr(n, 'name', None) or n.target.id}" for n in inner}
            names |= {name.partition(".")[2] for name in names if "." in name}
        if isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def texts_of(tree):
    """Returns the texts of a module; what is formatted into one is a bar."""
    texts = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [p.value if isinstance(p, ast.Constant) else "\0" for p in node.values]
            texts.append("".join(map(str, parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            texts.append(node.value)
    return texts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_that_is_named_exists(page):
    """`file.py:name`, and `name` in `file.py`, below the package or the project."""
    text = page.read_text("utf-8")
    found = re.findall(r"`([\w/]+\.py):([\w.]+)`", text)
    found += [(path, name) for name, path in re.findall(r"`(\w+)` in `([\w/]+\.py)`", text)]
    found += [(path, None) for path in re.findall(r"`([\w/]+\.py)`", text)]
    wrong = []
    for path, name in found:
        files = [folder / path for folder in (PACKAGE, ROOT) if (folder / path).is_file()]
        if not files or (name and name not in names_in(ast.parse(files[0].read_text("utf-8")))):
            wrong.append(f"{path}:{name}")
    assert wrong == []
    assert len(found) > 5 or page.stem in ("faq", "choosing")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_flags_that_are_named_exist(page):
    programs = flags_reference.find_programs().values()
    known = {name for options in programs for name in flags_reference.settings_of(options)}
    known |= OTHER_FLAGS | {"flagfile", "help"}
    named = set(re.findall(r"(?<![\w-])--([a-z]\w*)", page.read_text("utf-8")))
    # Of the examples in extending.md.
    assert named - known == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_values_of_flags_are_among_the_choices(page):
    settings = {}
    for options in flags_reference.find_programs().values():
        for name, setting in flags_reference.settings_of(options).items():
            settings.setdefault(name, set()).update(setting.field.metadata["choices"] or ())
    given = re.findall(r"(?<![\w-])--([a-z]\w*)=(\w+)", page.read_text("utf-8"))
    wrong = {(n, v) for n, v in given if settings.get(n) and v not in settings[n]}
    assert wrong == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_flagfiles_lead_somewhere(page):
    text = page.read_text("utf-8")
    broken = [path for path in re.findall(r"\bflags/[\w/]+\.cfg", text) if "runs/" not in path]
    broken = [path for path in broken if not (ROOT / path).is_file()]
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.is_file() or (anchor and anchor not in anchors(linked)):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_accepted(page, monkeypatch):
    """Their flags alone: with those of flags/fashion.cfg where a command has those of a run."""
    monkeypatch.chdir(ROOT)
    blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    commands = [line.strip() for line in lines if "python -m vae_lowlevel." in line]
    assert commands or page.stem == "concepts"
    programs = flags_reference.find_programs()
    for command in commands:
        command = re.sub(r"runs/\w+/flags\.cfg", "flags/fashion.cfg", command)
        _, _, module, *argv = shlex.split(command.replace("$seed", "1"), comments=True)
        program = module.removeprefix("vae_lowlevel.")
        if program == "inference":
            argv[0] = f"--command={argv[0]}"
        parse(argv, programs[program])


def anchors(page):
    """Returns the anchors of the headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_messages_of_the_faq_are_those_of_the_programs():
    """A message is a quotation, or the first column of a table of messages; "..." is anything."""
    text = (ROOT / "docs" / "faq.md").read_text("utf-8")
    messages = re.findall(r"^> `(.*)`$", text, re.MULTILINE)
    for table in re.findall(r"^\| message \|.*?\n\n", text, re.DOTALL | re.MULTILINE):
        messages += re.findall(r"^\| `(.*?)` \|", table, re.MULTILINE)
    assert len(messages) > 40
    known = set()
    for path in PACKAGE.rglob("*.py"):
        known |= set(texts_of(ast.parse(path.read_text("utf-8"))))
    assert [
        message for message in messages if not any(is_part(message, text) for text in known)
    ] == []


def is_part(message, text):
    """Returns whether the parts of a message, apart from "...", are in a text in this order."""
    position = 0
    for part in message.removeprefix("warning: ").split("..."):
        position = text.find(part.strip(), position)
        if position < 0:
            return False
        position += len(part.strip())
    return True
