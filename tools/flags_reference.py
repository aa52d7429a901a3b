"""Writes the reference of all flags: `python tools/flags_reference.py > docs/flags.md`.

The flags are read from the `Options` classes in `vae_lowlevel/config`, one class per program.
Neither TensorFlow nor NumPy is imported.
"""

import ast
import dataclasses
import importlib
import pathlib
import pkgutil
import re

import vae_lowlevel
from vae_lowlevel import config
from vae_lowlevel.__main__ import PROGRAMS
from vae_lowlevel.config.fields import Options
from vae_lowlevel.config.flags import Setting, default_text, settings_of

PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent

INTRODUCTION = """\
# Flags

Every flag of every program. `python tools/flags_reference.py > docs/flags.md` writes this page.

- Write `--name=value`. A switch can also be written `--name` for true and `--noname` for false.
- `--flagfile=FILE` reads flags from a file, one `--name=value` per line.
- If a flag is given more than once, the last one counts.
- `--name=` (an empty value) unsets a flag whose default is "not set".
- `--help=NAME` explains one flag or one group in the terminal, `--help=all` all flags.

An error in a flag names the flag, its value and what to do. [choosing.md](choosing.md) says which
values to choose, [concepts.md](concepts.md) has the formulas."""

RESUME_INTRODUCTION = """\
The column "on resume" says what happens if the run folder holds a run with another value:

- **refused**: it is another model or other data. Use another `--model_dir`.
- **length**: the run becomes longer or shorter.
- **numerics**: the run resumes, but the result is not bit for bit that of an unbroken run.
- **free**: nothing that is learned changes."""

VALUES = {
    bool: "switch",
    int: "whole number",
    float: "number",
    str: "text",
    tuple: "whole numbers, separated by commas",
}
RESUME = {"identity": "refused", "total": "length", "numerics": "numerics", "free": "free"}


def find_programs() -> dict[str, type[Options]]:
    """Returns the options of each program, in the order in which the package lists them.

    Those of `vae_lowlevel.evaluate` are in `config/evaluate.py`, those of training in
    `config/__init__.py`.
    """
    found = {"train": config.Config}
    for module in pkgutil.iter_modules(config.__path__):
        members = vars(importlib.import_module(f"{config.__name__}.{module.name}")).values()
        for member in members:
            is_class = isinstance(member, type) and issubclass(member, Options)
            if is_class and member.__module__ == f"{config.__name__}.{module.name}":
                found[module.name] = member
    found.pop("fields", None)  # Options itself.
    listed = [name for name in re.findall(r"^\w+", PROGRAMS, re.MULTILINE) if name in found]
    if set(listed) != set(found):
        raise SystemExit(f"vae_lowlevel/__main__.py lists {listed}, but config has {list(found)}")
    return {name: found[name] for name in listed}


def write_page(programs: dict[str, type[Options]]) -> str:
    lines = [INTRODUCTION, ""]
    lines += [f"- [{name}](#{name}): {_summary(name)}" for name in programs]
    for name, options in programs.items():
        lines += ["", f"## {name}", "", f"`python -m vae_lowlevel.{name}`. {_summary(name)}"]
        settings, groups = settings_of(options), options.groups()
        has_resume = options is config.Config
        if has_resume:
            lines += ["", RESUME_INTRODUCTION]
        for key, group in groups.items():
            if len(groups) > 1:
                title = group.__doc__.strip().splitlines()[0].rstrip(".")
                lines += ["", f"### {title}", "", f"`--help={key}` shows this group."]
            lines += [
                "",
                *write_table([settings[f.name] for f in dataclasses.fields(group)], has_resume),
            ]
    return "\n".join(lines) + "\n"


def write_table(settings: list[Setting], has_resume: bool) -> list[str]:
    header = ["flag", "values", "default", "on resume", "meaning"]
    rows = [header, ["---"] * len(header)]
    for setting in settings:
        field = setting.field
        default = default_text(field)
        rows.append(
            [
                f"`--{field.name}`",
                describe_values(setting),
                default if default in ("not set", "empty") else f"`{default}`",
                RESUME[field.metadata["resume"]],
                escape(describe_meaning(field)),
            ]
        )
    if not has_resume:
        rows = [[*row[:3], row[4]] for row in rows]
    return [f"| {' | '.join(row)} |" for row in rows]


def describe_values(setting: Setting) -> str:
    """Returns the choices, or the type and the bounds."""
    choices = setting.field.metadata["choices"]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    bounds = setting.field.metadata["bounds"].items()
    limits = [f"{word} {value}" for word, (value, _) in bounds if value is not None]
    kind = VALUES[setting.kind]
    if setting.kind is tuple and limits:
        return f"{kind}; each {' and '.join(limits)}"
    return f"{kind} {' and '.join(limits)}".strip()


def describe_meaning(field: dataclasses.Field) -> str:
    text, other = field.metadata["help"], field.metadata["instead_of"]
    if other:
        text += f" Not together with --{other}."
    if not field.metadata["can_unset"]:
        text += " An empty value is refused."
    return text


def escape(text: str) -> str:
    """Returns a text that Markdown shows as it is, in a cell of a table."""
    return re.sub(r"([|<>*\[\]])", r"\\\1", text)


def _summary(program: str) -> str:
    """Returns the first sentence of what a program says it is; it is not imported."""
    source = (PACKAGE / f"{program}.py").read_text(encoding="utf-8")
    return ast.get_docstring(ast.parse(source)).partition("\n")[0]


if __name__ == "__main__":
    print(write_page(find_programs()), end="")
