from __future__ import annotations

import dataclasses

import pytest

from vae_lowlevel.config import Config
from vae_lowlevel.config.flags import help_text

FIELDS = [field for group in Config.groups().values() for field in dataclasses.fields(group)]


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_help_shows_every_setting(field):
    text = help_text("Usage: me", Config)
    (head,) = [line for line in text.splitlines() if line.startswith(f"  --{field.name}  ")]
    # Without white space: the help is wrapped, at hyphens too, and a long head before its default.
    default, description = "".join(text[text.index(head) :].split()).split(")", 1)
    assert "(default:" in default
    assert description.startswith("".join(field.metadata["help"].split()))
    if field.metadata["choices"]:
        assert "{" + ", ".join(field.metadata["choices"]) + "}" in head


def test_help_shows_defaults_as_flagfiles_write_them():
    text = help_text("Usage: me\n", Config)
    assert text.startswith("Usage: me\n")
    assert "--encoder_filters  int,int,...  (default: 32,64; at most 65536)" in text
    assert "--decoder_units  int,int,...  (default: empty; at most 65536)" in text
    assert "--adam_epsilon  float  (default: 1e-07)" in text
    assert "--deterministic  bool  (default: true)" in text
    assert "--pixel_reduction  {sum, mean}  (default: sum)" in text
    assert "--clip_norm  float  (default: not set)" in text


def test_help_fits_a_terminal_of_100_columns():
    wide = [line for line in help_text("", Config).splitlines() if len(line) > 100]
    assert wide == []
