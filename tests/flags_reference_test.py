"""docs/flags.md, and tools/flags_reference.py that writes it."""

import dataclasses
import pathlib
import re
import subprocess
import sys

import pytest

import vae_lowlevel
from vae_lowlevel.config import Config
from vae_lowlevel.config.export import ExportOptions
from vae_lowlevel.config.flags import parse

ROOT = pathlib.Path(__file__).parents[1]
TOOL = ROOT / "tools" / "flags_reference.py"
PAGE = ROOT / "docs" / "flags.md"
PACKAGE = pathlib.Path(vae_lowlevel.__file__).parent
# Runs the tool, then writes to stderr which slow packages were imported.
RUN = (
    "import runpy, sys; runpy.run_path(sys.argv[1], run_name='__main__'); "
    "sys.stderr.write(' '.join({'tensorflow', 'numpy'} & set(sys.modules)))"
)


@pytest.fixture(scope="module")
def written():
    command = [sys.executable, "-c", RUN, str(TOOL)]
    return subprocess.run(command, capture_output=True, text=True, check=True)


@pytest.fixture(scope="module")
def tables(written):
    """{program: {flag: its cells}}"""
    sections = re.split(r"^## (\w+)$", written.stdout, flags=re.MULTILINE)[1:]
    found = {}
    for program, text in zip(sections[::2], sections[1::2], strict=True):
        # At bars that are not part of a text.
        lines = [line for line in text.splitlines() if line.startswith("|")]
        rows = [re.split(r" (?<!\\)\| ", line.strip("| ")) for line in lines]
        found[program] = {row[0].strip("`-"): row for row in rows if row[0].startswith("`--")}
    return found


def test_page_is_current(written):
    assert PAGE.read_text(encoding="utf-8") == written.stdout, (
        "docs/flags.md is not current: python tools/flags_reference.py > docs/flags.md"
    )


def test_tensorflow_is_not_imported(written):
    assert written.stderr == ""


def test_every_program_has_a_section(tables):
    programs = [
        path.stem for path in PACKAGE.glob("*.py") if "cli.main(__doc__" in path.read_text()
    ]
    assert len(programs) >= 5
    assert set(tables) == set(programs)


def test_every_flag_has_a_row_of_all_columns(tables):
    assert list(tables["train"]) == list(Config().to_flat())
    assert list(tables["export"]) == [field.name for field in dataclasses.fields(ExportOptions)]
    for program, rows in tables.items():
        columns = 5 if program == "train" else 4
        assert {name: len(row) for name, row in rows.items() if len(row) != columns} == {}


def test_defaults_are_those_of_the_settings(tables):
    """Every default on the page, given as a flag, changes nothing."""
    given = [
        f"--{name}={row[2].strip('`')}"
        for name, row in tables["train"].items()
        if row[2] not in ("not set", "empty")
    ]
    assert len(given) > 50
    assert parse(given, Config) == parse([], Config) == Config()


def test_values_and_resume(tables):
    train, export = tables["train"], tables["export"]
    assert train["posterior"][1] == "`diagonal`, `full`, `iaf`"
    assert train["kl_ramp_fraction"][1] == "number above 0 and at most 1"
    assert train["decoder_units"][1:3] == [
        "whole numbers, separated by commas; each at least 1 and at most 65536",
        "empty",
    ]
    resume = {name: train[name][3] for name in ("kl_weight", "epochs", "jit_compile", "best_by")}
    assert list(resume.values()) == ["refused", "length", "numerics", "free"]
    assert train["train_steps"][4].endswith("Not together with --epochs.")
    # Markdown would read <path> as HTML and hide it.
    assert r"npz:\<path\>" in train["dataset"][4]
    assert export["anomaly_quantile"][1] == "number above 0 and at most 1"
