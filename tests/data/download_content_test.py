import gzip
import random
import re
import tracemalloc

import pytest

from vae_lowlevel.data import download
from vae_lowlevel.errors import DataError

TEXT = bytes(range(256)) * 40


SUM = download.sha256_of(TEXT)
KNOWN = download.KnownContent(SUM, len(TEXT))


@pytest.mark.parametrize("stored", [TEXT, gzip.compress(TEXT)], ids=["raw", "gzip"])
def test_content_is_verified_as_it_is_or_decompressed(stored):
    assert download.verify(stored, KNOWN, "origin") == TEXT


def test_a_gzip_file_with_the_published_sum_is_not_decompressed():
    packed = gzip.compress(TEXT)
    assert (
        download.verify(
            packed, download.KnownContent(download.sha256_of(packed), len(packed)), "origin"
        )
        is packed
    )


def test_a_wrong_sum_is_named_for_the_file_and_for_its_content():
    other, packed = b"something else", gzip.compress(b"something else")
    found, found_packed = download.sha256_of(other), download.sha256_of(packed)
    with pytest.raises(DataError, match=f"^origin: expected SHA-256 {SUM}, found {found}$"):
        download.verify(other, KNOWN, "origin")
    named = re.escape(f"found {found_packed} (decompressed: {found})")
    with pytest.raises(DataError, match=named):
        download.verify(packed, KNOWN, "origin")


def test_every_truncation_of_a_gzip_file_is_found():
    packed = gzip.compress(b"some content, some content")
    for length in range(2, len(packed)):
        with pytest.raises(DataError, match=rf"origin: expected a complete gzip .*found {length} "):
            download.decompress(packed[:length], 99, "origin")


@pytest.mark.parametrize("position", [-1, -5, 30], ids=["length", "crc", "deflate"])
def test_a_changed_byte_is_found(position):
    packed = bytearray(gzip.compress(TEXT))
    packed[position] ^= 0x55
    with pytest.raises(DataError, match="do not decompress"):
        download.decompress(bytes(packed), len(TEXT), "origin")


def test_bytes_after_the_gzip_stream_are_found():
    with pytest.raises(DataError, match="do not decompress"):
        download.decompress(gzip.compress(TEXT) + b"more", len(TEXT), "origin")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(DataError, match=r"absent: expected a readable file.*No such file"):
        download.read_bytes(tmp_path / "absent", 9)
    with pytest.raises(DataError, match="Is a directory"):
        download.read_bytes(tmp_path, 9)


def test_a_gzip_bomb_is_not_inflated():
    """A gigabyte of zeros in a megabyte, from repeated members; of which 1 KB is inflated."""
    bomb = gzip.compress(bytes(1 << 20)) * 1024
    tracemalloc.start()
    with pytest.raises(
        DataError, match=r"origin: expected .* at most 1000 bytes when decompressed"
    ):
        download.decompress(bomb, 1000, "origin")
    with pytest.raises(DataError, match=rf"expected SHA-256 {SUM}.*more than {len(TEXT)} bytes"):
        download.verify(bomb, KNOWN, "origin")
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def test_a_file_larger_than_known_is_not_read(tmp_path):
    """Of a sparse file of a terabyte no more than the limit is read."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match=r"large: expected at most 1000 bytes, found 1099511627776"):
        download.read_bytes(tmp_path / "large", 1000)


@pytest.mark.parametrize("content", [TEXT, random.Random(0).randbytes(10_000)])
def test_the_largest_file_holds_the_content(content):
    """Also content that gzip cannot compress."""
    known = download.KnownContent("", len(content))
    assert len(gzip.compress(content, 1)) <= known.most_bytes
    assert len(gzip.compress(content, 0)) <= known.most_bytes
