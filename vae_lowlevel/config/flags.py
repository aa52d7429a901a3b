"""absl flags <-> settings: one flag per field of the dataclasses.

absl splits the command line. Flagfiles are read by `flagfile.py` and the texts are converted here,
so that every bad value gets a message of the same form. absl is imported when flags are parsed:
`cli.py` first checks that it is installed.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
from collections.abc import Iterator
from typing import Any, TypeVar

from vae_lowlevel.config import Config
from vae_lowlevel.config.fields import Options, quote, value_types
from vae_lowlevel.config.flagfile import read_flagfiles, read_saved_flagfile, with_checksum
from vae_lowlevel.errors import ConfigError

AnyOptions = TypeVar("AnyOptions", bound=Options)

_EXPECTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    tuple: "whole numbers separated by commas",
}
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}

# The words of other packages for our flags.
_OTHER_WORDS = {
    "accum_iter": "accumulate_steps",
    "batch": "batch_size",
    "beta": "kl_weight",
    "bs": "batch_size",
    "data": "dataset",
    "data_path": "data_dir",
    "dtype": "precision",
    "ema": "ema_decay",
    "folder": "model_dir",
    "gpus": "num_gpus",
    "gradient_clip": "clip_norm",
    "hidden": "encoder_units",
    "kld_weight": "kl_weight",
    "latent_size": "latent_dim",
    "logdir": "model_dir",
    "lr": "learning_rate",
    "max_steps": "train_steps",
    "mixed_precision": "precision",
    "n_epochs": "epochs",
    "num_steps": "train_steps",
    "output_dir": "model_dir",
    "patience": "early_stopping_patience",
    "pretrained": "init_from",
    "random_seed": "seed",
    "save_dir": "model_dir",
    "scheduler": "learning_rate_schedule",
    "steps": "train_steps",
    "strategy": "distribution_strategy",
    "warmup": "kl_warmup_epochs",
    "workdir": "model_dir",
    "z_dim": "latent_dim",
}


@dataclasses.dataclass(frozen=True)
class Setting:
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
            if not self.field.metadata["can_unset"]:
                raise ConfigError(
                    f"--{self.field.name} must not be empty: give a value, or leave the flag out "
                    "for the default"
                )
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
            default = default_text(self.field)
            raise ConfigError(
                f"--{name} must be {expected}, got an empty value: give one, or leave the flag out "
                f"for the default, {default}"
            )
        raise ConfigError(f"--{name} must be {expected}, got {quote(text)}")


def settings_of(options: type[Options]) -> dict[str, Setting]:
    """Returns every setting of all groups, by name."""
    settings = {}
    for group in options.groups().values():
        kinds = value_types(group)
        for field in dataclasses.fields(group):
            settings[field.name] = Setting(field, *kinds[field.name])
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
    settings = settings_of(options)
    values, direct = {}, {}
    for flagfile, part in _split_flagfiles(argv):
        try:
            texts = _read_texts(part, settings)
            given = {name: settings[name].convert(text) for name, text in texts.items()}
        except ConfigError as error:
            raise ConfigError(f"{error} (in {flagfile})" if flagfile else str(error)) from None
        values.update(given)
        if flagfile is None:
            direct.update(given)
    for name, setting in settings.items():
        pair = {name, setting.field.metadata["instead_of"]}
        chosen = {other for other in pair if direct.get(other) is not None}
        if chosen:
            values = {key: value for key, value in values.items() if key not in pair - chosen}
    return options.from_flat(values)


def _split_flagfiles(argv: list[str]) -> Iterator[tuple[str | None, list[str]]]:
    """Yields arguments in their order, and the flagfile that they were read from, if any."""
    part, words = [], iter(argv)
    for word in words:
        named = re.fullmatch(r"--?flagfile(?:=(.*))?", word, re.DOTALL)
        if not named:
            part.append(word)
            continue
        yield None, part
        part = []
        path = next(words, "") if named[1] is None else named[1]
        path = os.path.expanduser(path.strip())
        yield path, read_flagfiles(path)
    yield None, part


def _read_texts(argv: list[str], settings: dict[str, Setting]) -> dict[str, str]:
    """Returns the texts of the flags that are given."""
    from absl import flags

    values = flags.FlagValues()
    for name, setting in settings.items():
        text = setting.field.metadata["help"]
        is_switch = setting.kind is bool
        flags.DEFINE(flags.ArgumentParser(), name, None, text, values, boolean=is_switch)
    try:
        # Unknown flags are left: absl's own message, with its suggestions, fails for long names.
        left = values(["", *argv], known_only=True)[1:]
    except (flags.Error, ValueError) as error:
        raise ConfigError(shown(str(error))) from None
    unknown = [word for word in left if re.match("--?[^-=]", word)]
    if unknown and "--" not in left:
        name = unknown[0].lstrip("-").partition("=")[0]
        raise ConfigError(f"there is no flag --{shown(name)}{suggest(name, settings)}")
    if left:
        raise ConfigError(
            f"not a flag: {quote(left)[1:-1]}. Flags are written --name=value, in a "
            "flagfile one per line, with comments (#) only at the start of a line"
        )
    return {name: values[name].value for name in settings if values[name].present}


def suggest(name: str, settings: dict[str, Setting]) -> str:
    """Returns the end of a sentence that suggests the flag that may be meant."""
    word = name.lower().replace("-", "_")
    alike = difflib.get_close_matches(word[:100], settings, n=1, cutoff=0.75)
    meant = word if word in settings else _OTHER_WORDS.get(word, *alike[:1] or [None])
    return f"; did you mean --{meant}?" if meant in settings else ""


def shown(text: str) -> str:
    """Returns a text of the command line without quotes, on one line and not endless."""
    return quote(text)[1:].removesuffix("'")


def default_text(field: dataclasses.Field) -> str:
    """Returns a field's default as a flagfile writes it, or "not set"."""
    return "not set" if field.default is None else format_value(field.default) or "empty"


def format_value(value: Any) -> str:
    """Returns a setting's value as a flagfile writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value)


def format_flagfile(config: Config) -> str:
    """Returns the settings of a run as a flagfile: every flag except those that are not set.

    The first line is a checksum of the others, see `flagfile.py`.
    """
    lines = []
    for name, group in config.groups().items():
        lines.append(f"# {group.__doc__.strip().rstrip('.')}")
        for setting, value in dataclasses.asdict(getattr(config, name)).items():
            # A saved --overwrite would delete the run when its flagfile is used again.
            if value is not None and setting != "overwrite":
                lines.append(f"--{setting}={format_value(value)}")
    return with_checksum("\n".join(lines) + "\n")


def read_flagfile(path: str) -> Config:
    """Reads a flagfile that `format_flagfile` wrote, from a disk or an address.

    Raises:
        RunError: the file is damaged or cannot be read.
        ConfigError: a flag in it is unknown or has a bad value.
    """
    return parse(read_saved_flagfile(path), Config)
