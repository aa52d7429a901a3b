"""absl flags <-> settings: one flag per field of the dataclasses.

absl splits the command line and reads flagfiles. The texts are converted here, so that every bad
value gets a message of the same form.
"""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterator
from typing import Any, TypeVar

from absl import flags

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import Options, value_types
from vae_lowlevel.errors import ConfigError

AnyOptions = TypeVar("AnyOptions", bound=Options)

_EXPECTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "whole numbers separated by commas",
}
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclasses.dataclass(frozen=True)
class _Setting:
    """A field of the options, its plain type, and whether it can be unset."""

    field: dataclasses.Field
    kind: type
    is_optional: bool

    def convert(self, text: str) -> Any:
        """Returns the value that a flag's text represents; None for an empty text that unsets.

        Raises:
            ConfigError: the text is not of the setting's type.
        """
        if not text and self.is_optional:
            return None
        if self.kind is str:
            return text
        name, expected = self.field.name, _EXPECTED[self.kind]
        try:
            if self.kind is tuple:
                return tuple(int(part) for part in text.split(",")) if text.strip() else ()
            return _BOOLEANS[text.lower()] if self.kind is bool else self.kind(text)
        except (KeyError, ValueError):
            pass
        if not text.strip():
            default = format_value(self.field.default)
            raise ConfigError(
                f"--{name} must be {expected}, got an empty value: give one, or leave the flag out "
                f"for the default, {default}"
            )
        raise ConfigError(f"--{name} must be {expected}, got {text!r}")


def _settings_of(options: type[Options]) -> dict[str, _Setting]:
    settings = {}
    for group in options.groups().values():
        kinds = value_types(group)
        for field in dataclasses.fields(group):
            settings[field.name] = _Setting(field, *kinds[field.name])
    return settings


def parse(argv: list[str], options: type[AnyOptions]) -> AnyOptions:
    """Reads a command line, including its flagfiles, into checked settings.

    The last of a repeated flag counts. `--name=` unsets a flag whose default is "not set". Of two
    flags that exclude each other, one on the command line replaces one from a flagfile.

    Args:
        argv: the arguments, without the program's name.
        options: what the flags are read into.

    Raises:
        ConfigError: a flag is unknown or has a bad value, or a word that is not a flag is left.
    """
    settings = _settings_of(options)
    values, direct = {}, {}
    for is_flagfile, part in _split_flagfiles(argv):
        texts = _read_texts(part, settings)
        given = {name: settings[name].convert(text) for name, text in texts.items()}
        values.update(given)
        if not is_flagfile:
            direct.update(given)
    for name, setting in settings.items():
        pair = {name, setting.field.metadata["instead_of"]}
        chosen = {other for other in pair if direct.get(other) is not None}
        if chosen:
            values = {key: value for key, value in values.items() if key not in pair - chosen}
    return options.from_flat(values)


def _split_flagfiles(argv: list[str]) -> Iterator[tuple[bool, list[str]]]:
    """Yields runs of arguments in their order, and whether they name a flagfile."""
    part, rest = [], list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, _ = word.lstrip("-").partition("=")
        if not word.startswith("-") or name != "flagfile":
            part.append(word)
            continue
        yield False, part
        part = []
        # absl reports a flagfile without a name.
        yield True, [word] if equals else [word, *rest[:1]]
        rest = rest if equals else rest[1:]
    yield False, part


def _read_texts(argv: list[str], settings: dict[str, _Setting]) -> dict[str, str]:
    """Returns the texts of the flags that are given."""
    values = flags.FlagValues()
    for name, setting in settings.items():
        text = setting.field.metadata["help"]
        is_switch = setting.kind is bool
        flags.DEFINE(flags.ArgumentParser(), name, None, text, values, boolean=is_switch)
    try:
        left = values(["", *argv])[1:]
    except flags.CantOpenFlagFileError as error:
        raise ConfigError(f"cannot read the flagfile: {error.__context__}") from None
    except OSError as error:
        raise ConfigError(f"cannot read the flagfile: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"a flagfile of {' '.join(argv)} is not UTF-8 text: {error}") from None
    except (flags.Error, ValueError) as error:
        raise ConfigError(str(error)) from None
    if left:
        raise ConfigError(
            f"not a flag: {' '.join(map(repr, left))}. Flags are written --name=value, in a "
            "flagfile one per line, with comments (#) only at the start of a line"
        )
    return {name: values[name].value for name in settings if values[name].present}


def help_text(usage: str, options: type[Options]) -> str:
    """Returns the text of `--help`: every flag, by group, with its default."""
    lines = [
        usage.strip(),
        "",
        "--flagfile=FILE reads flags from a file, one --name=value per line.",
        "--NAME= (an empty value) unsets a flag whose default is not set.",
    ]
    settings = _settings_of(options)
    for group in options.groups().values():
        title = group.__doc__.strip().splitlines()[0].rstrip(".")
        lines += ["", f"{title}:"]
        for field in dataclasses.fields(group):
            lines += _help_lines(settings[field.name])
    return "\n".join(lines)


def _help_lines(setting: _Setting) -> list[str]:
    field, choices = setting.field, setting.field.metadata["choices"]
    allowed = "{" + ", ".join(choices) + "}" if choices else setting.kind.__name__
    if setting.kind is tuple:
        allowed = "int,int,..."
    default = "not set" if field.default is None else format_value(field.default)
    head, default = f"  --{field.name}  {allowed}", f"(default: {default or 'empty'})"
    is_short = len(head) + len(default) <= 98
    lines = [f"{head}  {default}"] if is_short else [head, f"      {default}"]
    indent = " " * 6
    return lines + textwrap.wrap(
        field.metadata["help"], 92, initial_indent=indent, subsequent_indent=indent
    )


def format_value(value: Any) -> str:
    """Returns a setting's value as a flagfile writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def format_flagfile(config: Config) -> str:
    """Returns the settings of a run as a flagfile: every flag except those that are not set."""
    lines = []
    for name, group in config.groups().items():
        lines.append(f"# {group.__doc__.strip().rstrip('.')}")
        for setting, value in dataclasses.asdict(getattr(config, name)).items():
            # A saved --overwrite would delete the run when its flagfile is used again.
            if value is not None and setting != "overwrite":
                lines.append(f"--{setting}={format_value(value)}")
    return "\n".join(lines) + "\n"


def read_flagfile(path: str) -> Config:
    """Reads a flagfile that `format_flagfile` wrote, from a disk or an address.

    Raises:
        ConfigError: the file cannot be read, or a flag in it is unknown or has a bad value.
    """
    if not files.is_remote(path):
        return parse([f"--flagfile={path}"], Config)
    try:
        lines = files.read(path).decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the flagfile: {error}") from None
    return parse([line for line in lines if line.startswith("--")], Config)
