"""The commands of the cookbook and of the gallery: their flags, their order and their pictures."""

import ast
import pathlib
import re
import shlex
import string

import docs_test
import pytest

from vae_lowlevel.config.flags import format_flagfile, parse

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "docs" / f"{name}.md" for name in ("cookbook", "gallery")]
PROGRAMS = docs_test.flags_reference.find_programs()


def blocks_of(page, language):
    pattern = rf"^```{language}\n(.*?)^```"
    return re.findall(pattern, page.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def commands_of(page):
    """Returns the program and the arguments of each command of a page, in order."""
    lines = "".join(blocks_of(page, "sh")).replace("\\\n", " ").splitlines()
    commands, variables = [], {}
    for line in lines:
        variables |= dict(re.findall(r'^(\w+)="(.*)"$', line))
        words = shlex.split(string.Template(line).substitute(variables), comments=True)
        if words[:2] == ["python", "-m"] and words[2].startswith("vae_lowlevel."):
            program, argv = words[2].removeprefix("vae_lowlevel."), words[3:]
            if program == "inference":
                argv[0] = f"--command={argv[0]}"
            commands.append((program, argv))
    return commands


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The working directory of a user: a copy of the project without runs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flags").symlink_to(ROOT / "flags")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.usefixtures("checkout")
def test_commands_are_accepted_in_their_order(page):
    """Each is parsed with the flags that the runs above it have saved, and reads only such runs."""
    made, commands = set(), commands_of(page)
    assert len(commands) > 15
    for program, argv in commands:
        options = parse(argv, PROGRAMS[program])
        if program == "train":
            # A run of its own: the same folder twice would be refused.
            assert options.model_dir not in made, argv
            made.add(options.model_dir)
            folder = pathlib.Path(options.model_dir)
            folder.mkdir(parents=True)
            (folder / "flags.cfg").write_text(format_flagfile(options))
            read = [options.training.init_from]
        elif program == "export":
            read = [options.model_dir]
            made.add(f"{options.export_dir}/{options.name or pathlib.Path(options.model_dir).name}")
        else:
            read = [options.model_dir, *getattr(options, "other_runs", ())]
        assert {path for path in read if path} <= made, argv


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_python_is_valid_and_imports_exist(page):
    for code in blocks_of(page, "python"):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                exec(ast.unparse(node), {})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_and_named_flags_exist(page):
    """The checks of the pages in docs_test.py, without that of commands, which is above."""
    docs_test.test_links_and_flagfiles_lead_somewhere(page)
    docs_test.test_flags_that_are_named_exist(page)
    docs_test.test_values_of_flags_are_among_the_choices(page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_answer_has_a_command_and_a_picture(page):
    _, *answers = re.split(r"^## ", page.read_text("utf-8"), flags=re.MULTILINE)
    assert len(answers) >= 12
    for answer in answers:
        title = answer.partition("\n")[0]
        assert "python -m vae_lowlevel." in answer, title
        assert re.search(r"!\[[^\]]+\]\(figures/\w+\.png\)", answer), title


def test_pictures_exist_and_are_used():
    shown = set()
    for page in PAGES:
        shown |= set(re.findall(r"\]\(figures/(\w+\.png)\)", page.read_text("utf-8")))
    figures = ROOT / "docs" / "figures"
    assert [name for name in sorted(shown) if not (figures / name).is_file()] == []
    own = {path.name for stem in ("cookbook", "gallery") for path in figures.glob(f"{stem}_*.png")}
    assert own - shown == set()


def test_gallery_has_every_flagfile():
    """With its picture, or by name among those that could not be run."""
    text = (ROOT / "docs" / "gallery.md").read_text("utf-8")
    flagfiles = {f"flags/{path.name}" for path in (ROOT / "flags").glob("*.cfg")}
    assert {name for name in flagfiles if f"`{name}`" not in text} == set()
    trained = {argv[0] for program, argv in commands_of(PAGES[1]) if program == "train"}
    without = flagfiles - {argument.removeprefix("--flagfile=") for argument in trained}
    assert without == {"flags/cifar10_resnet_medium.cfg"}
