from __future__ import annotations

import pytest

from vae_lowlevel.config import Config, flags
from vae_lowlevel.config.flags import format_flagfile, read_flagfile
from vae_lowlevel.errors import ConfigError, RunError


@pytest.fixture
def path(tmp_path):
    return tmp_path / "flags.cfg"


def parse(path):
    return flags.parse([f"--flagfile={path}"], Config)


@pytest.mark.parametrize(
    "argv", [["--flagfile="], ["--flagfile= "], ["--flagfile", ""], ["-flagfile"]]
)
def test_an_empty_name_is_refused(argv):
    with pytest.raises(ConfigError, match="--flagfile must be the name of a file"):
        flags.parse(argv, Config)


def test_endings_of_lines_and_a_byte_order_mark_make_no_difference(path):
    path.write_bytes(b"\xef\xbb\xbf--seed=1\r\n# comment\r--latent_dim=2  \n\n")
    assert parse(path) == Config.from_flat({"seed": 1, "latent_dim": 2})


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"--seed=1\n--data_dir=a\0b\n", r"expected text, found '\\x00' in line 2"),
        ("--seed=1\n".encode("utf-16"), "expected UTF-8 text"),
        (b"--seed=1\n" * 20_001, "20000 lines"),
        (b"x" * (2**20 + 1), "more than 1048576 bytes"),
    ],
    ids=["NUL", "utf-16", "lines", "bytes"],
)
def test_a_file_that_is_no_flagfile_is_refused_by_name(path, content, expected):
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"flags\.cfg.*{expected}"):
        parse(path)


def test_an_endless_file_is_refused():
    with pytest.raises(ConfigError, match=r"/dev/zero.*more than"):
        parse("/dev/zero")


def test_a_name_with_a_null_character_is_refused():
    with pytest.raises(ConfigError, match="cannot read the flagfile"):
        parse("a\0b")


def test_files_that_contain_each_other_are_refused(path):
    other = path.with_name("other.cfg")
    path.write_text(f"--seed=1\n--flagfile={other}\n--flagfile={other}\n")
    other.write_text(f"--flagfile={path}\n")
    with pytest.raises(ConfigError, match="does a file contain itself"):
        parse(path)


def test_a_bad_flag_is_reported_with_the_file_it_is_in(path):
    path.write_text("--latent_dim=x\n")
    with pytest.raises(ConfigError, match=r"--latent_dim must .* got 'x' \(in .*flags\.cfg\)"):
        parse(path)


SAVED = Config.from_flat({"latent_dim": 12, "data_dir": "größe"})


def test_a_saved_flagfile_that_was_cut_off_anywhere_is_damaged(path):
    content = format_flagfile(SAVED).encode()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        with pytest.raises(RunError, match=r"flags\.cfg is damaged"):
            read_flagfile(str(path))


def test_a_flipped_bit_in_a_saved_flagfile_changes_nothing_without_a_word(path):
    content = bytearray(format_flagfile(SAVED).encode())
    refused = 0
    for index in range(len(content)):
        content[index] ^= 1 << index % 8
        path.write_bytes(content)
        content[index] ^= 1 << index % 8
        try:
            assert read_flagfile(str(path)) == SAVED
        except (RunError, ConfigError):
            refused += 1
    assert refused > 0.9 * len(content)


def test_a_saved_flagfile_can_be_edited_and_used_as_a_flagfile(path):
    text = format_flagfile(SAVED).replace("--latent_dim=12", "--latent_dim=13")
    path.write_text(text)
    assert parse(path) == SAVED.replace(latent_dim=13)
    with pytest.raises(RunError, match="if you edited it, delete its first line"):
        read_flagfile(str(path))
    path.write_text(text.split("\n", 1)[1])
    assert read_flagfile(str(path)) == SAVED.replace(latent_dim=13)


def test_flagfiles_of_runs_without_a_checksum_are_read(path):
    path.write_text("# Model\n--latent_dim=3\n")
    assert read_flagfile(str(path)) == Config.from_flat({"latent_dim": 3})
