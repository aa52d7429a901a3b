from __future__ import annotations

import dataclasses

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.help import help_text
from vae_lowlevel.errors import ConfigError

FIELDS = [field for group in Config.groups().values() for field in dataclasses.fields(group)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_help_shows_every_setting(field):
    text = help_text("Usage: me", Config, "all")
    (head,) = [line for line in text.splitlines() if line.startswith(f"  --{field.name}  ")]
    # Without white space: the help is wrapped, at hyphens too, and a long head before its default.
    default, description = "".join(text[text.index(head) :].split()).split(")", 1)
    assert "(default:" in default
    assert description.startswith("".join(field.metadata["help"].split()))
    if field.metadata["choices"]:
        assert "{" + ", ".join(field.metadata["choices"]) + "}" in head


def test_help_shows_defaults_as_flagfiles_write_them():
    text = help_text("Usage: me\n", Config, "all")
    assert text.startswith("Usage: me\n")
    assert "--encoder_filters  int,int,...  (default: 32,64; at most 65536)" in text
    assert "--decoder_units  int,int,...  (default: empty; at most 65536)" in text
    assert "--adam_epsilon  float  (default: 1e-07)" in text
    assert "--deterministic  bool  (default: true)" in text
    assert "--pixel_reduction  {sum, mean}  (default: sum)" in text
    assert "--clip_norm  float  (default: not set)" in text


def test_help_fits_a_terminal_of_100_columns():
    texts = [help_text("", Config, topic) for topic in ("", "all")]
    wide = [line for text in texts for line in text.splitlines() if len(line) > 100]
    assert wide == []


def test_help_of_many_flags_begins_with_their_names():
    text = help_text("Usage: me\n", Config)
    names = {word.removeprefix("--") for word in text.split() if word.startswith("--")}
    assert {field.name for field in FIELDS} <= names
    assert len(text.splitlines()) < 60


@pytest.mark.parametrize("group", Config.groups())
def test_help_of_a_group_has_its_flags_and_no_others(group):
    heads = [line for line in help_text("", Config, group).splitlines() if line.startswith("  --")]
    wanted = [field.name for field in dataclasses.fields(Config.groups()[group])]
    assert [head.split()[0].removeprefix("--") for head in heads] == wanted


def test_help_of_a_flag_is_short_and_another_word_is_refused():
    text = help_text("", Config, "kl_weight")
    assert text.startswith("  --kl_weight  float  (default: 1.0)")
    assert len(text.splitlines()) < 5
    with pytest.raises(ConfigError, match=r"--help=kl_weigth: .* did you mean --kl_weight"):
        help_text("", Config, "kl_weigth")
