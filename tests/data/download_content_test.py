import gzip
import re

import pytest

from vae_lowlevel.data import download
from vae_lowlevel.errors import DataError

TEXT = bytes(range(256)) * 40


SUM = download.sha256_of(TEXT)


@pytest.mark.parametrize("stored", [TEXT, gzip.compress(TEXT)], ids=["raw", "gzip"])
def test_content_is_verified_as_it_is_or_decompressed(stored):
    assert download.verify(stored, SUM, "origin") == TEXT


def test_a_gzip_file_with_the_published_sum_is_not_decompressed():
    packed = gzip.compress(TEXT)
    assert download.verify(packed, download.sha256_of(packed), "origin") is packed


def test_a_wrong_sum_is_named_for_the_file_and_for_its_content():
    other, packed = b"something else", gzip.compress(b"something else")
    found, found_packed = download.sha256_of(other), download.sha256_of(packed)
    with pytest.raises(DataError, match=f"^origin: expected SHA-256 {SUM}, found {found}$"):
        download.verify(other, SUM, "origin")
    named = re.escape(f"found {found_packed} (decompressed: {found})")
    with pytest.raises(DataError, match=named):
        download.verify(packed, SUM, "origin")


def test_every_truncation_of_a_gzip_file_is_found():
    packed = gzip.compress(b"some content, some content")
    for length in range(2, len(packed)):
        with pytest.raises(DataError, match=rf"origin: expected a complete gzip .*found {length} "):
            download.decompress(packed[:length], "origin")


@pytest.mark.parametrize("position", [-1, -5, 30], ids=["length", "crc", "deflate"])
def test_a_changed_byte_is_found(position):
    packed = bytearray(gzip.compress(TEXT))
    packed[position] ^= 0x55
    with pytest.raises(DataError, match="do not decompress"):
        download.decompress(bytes(packed), "origin")


def test_bytes_after_the_gzip_stream_are_found():
    with pytest.raises(DataError, match="do not decompress"):
        download.decompress(gzip.compress(TEXT) + b"more", "origin")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent: expected a readable file.*No such file"):
        download.read_bytes(tmp_path / "absent")
    with pytest.raises(DataError, match="Is a directory"):
        download.read_bytes(tmp_path)
