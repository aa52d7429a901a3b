import gzip

import pytest

from vae_lowlevel.data import download
from vae_lowlevel.errors import DataError

TEXT = bytes(range(256)) * 40


@pytest.mark.parametrize("name", ["file.gz", "file"])
@pytest.mark.parametrize("stored", [TEXT, gzip.compress(TEXT)], ids=["raw", "gzip"])
def test_the_content_decides_not_the_name(tmp_path, name, stored):
    path = tmp_path / name
    path.write_bytes(stored)
    assert download.read_content(path) == TEXT


def test_every_truncation_of_a_gzip_file_is_found():
    packed = gzip.compress(b"some content, some content")
    for length in range(2, len(packed)):
        with pytest.raises(DataError, match=rf"origin: expected a whole gzip .*found {length} "):
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
    with pytest.raises(DataError, match=r"absent: expected a file.*No such file"):
        download.read_content(tmp_path / "absent")
    with pytest.raises(DataError, match="Is a directory"):
        download.read_content(tmp_path)


def test_sha256_of_a_published_vector():
    # FIPS 180-2, appendix B.1.
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert download.sha256_of(b"abc") == expected
