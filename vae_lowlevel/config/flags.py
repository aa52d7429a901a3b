"""absl flags <-> config: one flag for each field of the config's dataclasses."""

from __future__ import annotations

import dataclasses
import os
import textwrap
from typing import Any, TypeVar

from absl import flags

from vae_lowlevel import files
from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import value_types
from vae_lowlevel.errors import ConfigError, RunError

Options = TypeVar("Options")


class _IntTupleParser(flags.ArgumentParser):
    """Parses `32,64` to (32, 64); the empty string to ()."""

    syntactic_help = "integers separated by commas"

    def parse(self, argument: str | tuple[int, ...]) -> tuple[int, ...]:
        if isinstance(argument, tuple):
            return argument
        try:
            return tuple(int(part) for part in argument.split(",")) if argument.strip() else ()
        except ValueError:
            raise ValueError(f"integers separated by commas wanted, got {argument!r}") from None

    def flag_type(self) -> str:
        return "int,int,..."


class _TupleSerializer(flags.ArgumentSerializer):
    def serialize(self, value: tuple[int, ...]) -> str:
        return ",".join(str(element) for element in value)


_PARSERS = {
    str: flags.ArgumentParser,
    int: flags.IntegerParser,
    float: flags.FloatParser,
    bool: flags.BooleanParser,
    tuple: _IntTupleParser,
}


def groups_of(options: type) -> dict[str, type]:
    """Returns the groups of settings of an options class; itself if it is one group."""
    return options.groups() if hasattr(options, "groups") else {"": options}


def define_flags(options: type) -> flags.FlagValues:
    """Returns one flag for each setting of `options`, a dataclass or `Config`."""
    values = flags.FlagValues()
    for group in groups_of(options).values():
        kinds = value_types(group)
        for field in dataclasses.fields(group):
            kind, _ = kinds[field.name]
            serializer = _TupleSerializer() if kind is tuple else flags.ArgumentSerializer()
            text = field.metadata["help"]
            if kind is bool:
                flags.DEFINE_boolean(field.name, field.default, text, flag_values=values)
            else:
                flags.DEFINE(_PARSERS[kind](), field.name, field.default, text, values, serializer)
    return values


def parse(argv: list[str], options: type[Options]) -> Options:
    """Reads a command line, flagfiles included, into a checked config.

    Args:
        argv: the arguments, without the program's name.
        options: `Config` or a dataclass of `option` fields.

    Raises:
        ConfigError: a flag is unknown or has a bad value, or a word that is no flag is left over.
    """
    values = define_flags(options)
    try:
        rest = values(["", *argv])[1:]
    except flags.Error as error:
        raise ConfigError(str(error)) from None
    except OSError as error:
        raise ConfigError(f"cannot read the flagfile: {error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"a flagfile of {' '.join(argv)} is not UTF-8 text: {error}") from None
    if rest:
        raise ConfigError(
            f"not a flag: {' '.join(map(repr, rest))}. Flags are written --name=value, in a "
            "flagfile one a line, with comments (#) only at the start of a line"
        )
    flat = {name: values[name].value for name in values if _is_setting(options, name)}
    if hasattr(options, "from_flat"):
        return options.from_flat(flat)
    return options(**flat)


def _is_setting(options: type, name: str) -> bool:
    return any(
        name == field.name
        for group in groups_of(options).values()
        for field in dataclasses.fields(group)
    )


def help_text(usage: str, options: type) -> str:
    """Returns the text of `--help`: every flag, grouped, with its default."""
    lines = [usage.strip(), "", "--flagfile=FILE reads flags from a file, one --name=value a line."]
    for group in groups_of(options).values():
        kinds = value_types(group)
        title = group.__doc__.strip().splitlines()[0].rstrip(".")
        lines += ["", f"{title}:"]
        for field in dataclasses.fields(group):
            kind, _ = kinds[field.name]
            choices = field.metadata["choices"]
            allowed = "{" + ", ".join(choices) + "}" if choices else kind.__name__
            if kind is tuple:
                allowed = "int,int,..."
            default = "not set" if field.default is None else format_value(field.default)
            head, default = f"  --{field.name}  {allowed}", f"(default: {default or 'empty'})"
            is_short = len(head) + len(default) <= 98
            lines += [f"{head}  {default}"] if is_short else [head, f"      {default}"]
            lines += textwrap.wrap(
                field.metadata["help"], 92, initial_indent=" " * 6, subsequent_indent=" " * 6
            )
    return "\n".join(lines)


def format_value(value: Any) -> str:
    """Returns a setting's value as a flagfile writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def format_flagfile(config: Config) -> str:
    """Returns the settings of a run as a flagfile, every flag named, unset ones left out."""
    lines = []
    for name, group in config.groups().items():
        lines.append(f"# {group.__doc__.strip().rstrip('.')}")
        for setting, value in dataclasses.asdict(getattr(config, name)).items():
            # --overwrite in the saved file would delete the run that is run again.
            if value is not None and setting != "overwrite":
                lines.append(f"--{setting}={format_value(value)}")
    return "\n".join(lines) + "\n"


def read_run(model_dir: str) -> Config:
    """Reads the settings that a run folder was made with.

    Raises:
        RunError: the folder holds no readable `flags.cfg`.
    """
    path = os.path.join(model_dir, "flags.cfg")
    if not files.is_file(path):
        raise RunError(f"{model_dir} is not a run folder: it has no flags.cfg")
    try:
        config = parse(_flags_of(path), Config)
    except ConfigError as error:
        raise RunError(f"{path} was written by another version of this package: {error}") from None
    return config.replace(model_dir=model_dir)


def _flags_of(flagfile: str) -> list[str]:
    """Returns arguments that stand for a flagfile as `format_flagfile` writes it."""
    if not files.is_remote(flagfile):
        return [f"--flagfile={flagfile}"]
    lines = files.read(flagfile).decode().splitlines()
    return [line for line in lines if line.startswith("--")]
