"""The texts of `--help`."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Mapping

from vae_lowlevel.config.fields import Options
from vae_lowlevel.config.flags import Setting, default_text, settings_of, shown, suggest
from vae_lowlevel.errors import ConfigError


def help_text(usage: str, options: type[Options], topic: str = "") -> str:
    """Returns the text of `--help`.

    Args:
        usage: what the program does, with examples.
        options: what its flags are read into.
        topic: name of a group or of a flag, which is explained; "all" for all flags; "" for the
            usage and the names of all flags, or their explanations if there is one group.

    Raises:
        ConfigError: there is no such group or flag.
    """
    groups, settings = options.groups(), settings_of(options)
    if topic and topic in groups:
        return "\n".join(_group_lines(groups[topic], settings))
    if topic in settings:
        return "\n".join(_help_lines(settings[topic]))
    if topic not in ("", "all"):
        raise ConfigError(
            f"--help={shown(topic)}: expected all, a group ({', '.join(groups)}) or a flag"
            + suggest(topic, settings)
        )
    lines = [
        usage.strip(),
        "",
        "--flagfile=FILE reads flags from a file, one --name=value per line.",
        "--NAME= (an empty value) unsets a flag whose default is not set, except --model_dir.",
    ]
    if topic == "all" or len(groups) == 1:
        for group in groups.values():
            lines += ["", *_group_lines(group, settings)]
        return "\n".join(lines)
    lines += [
        f"--help=GROUP explains a group of flags: {', '.join(groups)};",
        "--help=FLAG one flag; --help=all all flags.",
    ]
    for name, group in groups.items():
        flags = " ".join(f"--{field.name}" for field in dataclasses.fields(group))
        lines += [
            "",
            f"{name}:",
            *textwrap.wrap(
                flags, 96, initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
            ),
        ]
    return "\n".join(lines)


def _group_lines(group: type, settings: Mapping[str, Setting]) -> list[str]:
    title = group.__doc__.strip().splitlines()[0].rstrip(".")
    fields = dataclasses.fields(group)
    return [f"{title}:", *(line for field in fields for line in _help_lines(settings[field.name]))]


def _help_lines(setting: Setting) -> list[str]:
    field, choices = setting.field, setting.field.metadata["choices"]
    allowed = "{" + ", ".join(choices) + "}" if choices else setting.kind.__name__
    if setting.kind is tuple:
        allowed = "int,int,..."
    limit = field.metadata["bounds"]["at most"][0]
    known = default_text(field) if limit is None else f"{default_text(field)}; at most {limit}"
    head, default = f"  --{field.name}  {allowed}", f"(default: {known})"
    is_short = len(head) + len(default) <= 98
    lines = [f"{head}  {default}"] if is_short else [head, f"      {default}"]
    indent = " " * 6
    return lines + textwrap.wrap(
        field.metadata["help"], 92, initial_indent=indent, subsequent_indent=indent
    )
