import gzip
import re
import struct

import numpy as np
import pytest

from vae_lowlevel.data.idx import read_idx
from vae_lowlevel.errors import DataError


@pytest.mark.parametrize(
    ("code", "letter", "dtype", "values"),
    [
        (0x08, "B", np.uint8, [0, 1, 2, 127, 128, 255]),
        (0x09, "b", np.int8, [0, 1, -1, 127, -128, 5]),
        (0x0B, "h", np.int16, [0, 1, -1, 32767, -32768, 258]),
        (0x0C, "i", np.int32, [0, 1, -1, 2**31 - 1, -(2**31), 16909060]),
        (0x0D, "f", np.float32, [0, 1.5, -2.25, 1e10, -0.5, 3]),
        (0x0E, "d", np.float64, [0, 1.5, -2.25, 1e100, -0.5, 3]),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_reads_what_struct_wrote(tmp_path, idx_bytes, code, letter, dtype, values, pack):
    path = tmp_path / "file"
    path.write_bytes(pack(idx_bytes(code, (2, 3), struct.pack(f">6{letter}", *values))))
    array = read_idx(path)
    assert array.dtype == dtype
    assert array.dtype.isnative
    np.testing.assert_array_equal(array, np.reshape(values, (2, 3)))
    array[0, 0] = 1  # Writable.


@pytest.mark.parametrize("shape", [(6,), (0, 28, 28), (1, 2, 3), (1, 1, 1, 6)])
def test_any_number_of_dimensions(tmp_path, idx_bytes, shape):
    path = tmp_path / "file"
    path.write_bytes(idx_bytes(0x08, shape, bytes(range(np.prod(shape)))))
    array = read_idx(path)
    assert array.shape == shape
    np.testing.assert_array_equal(array.ravel(), np.arange(np.prod(shape)))


WHOLE = struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3) + bytes(6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected two zero bytes, a dtype code and a count, found nothing"),
        (b"\0\0\x08", "found 00 00 08"),
        (b"<!DOCTYPE html>", "found 3c 21 44 4f"),
        (b"\0\0\x0a" + WHOLE[3:], r"expected a dtype code of 0x08, 0x09, .*, found 0x0a"),
        (b"\0\0\x08\0" + bytes(1), "expected one or more dimensions .*, found 0 in 5 bytes"),
        (WHOLE[:9], "expected one or more dimensions of 4 bytes each, found 2 in 9 bytes"),
        (WHOLE[:-1], r"expected 18 bytes for shape \(2, 3\) of uint8, found 17 bytes"),
        (WHOLE + b"\0", r"expected 18 bytes for shape \(2, 3\) of uint8, found 19 bytes"),
        (b"\0\0\x08\x04" + b"\xff" * 16, r"expected 34028236\d+ bytes .* found 20 bytes"),
        (b"\0\0\x08\x04" + b"\0" * 4 + b"\xff" * 12, "expected a shape that NumPy can hold"),
        (b"\0\0\x08\x64" + b"\0\0\0\x01" * 100 + b"x", "expected a shape that NumPy can hold"),
    ],
)
def test_damage_is_named(tmp_path, content, message):
    path = tmp_path / "damaged-idx"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path)) + ".*" + message):
        read_idx(path)


def test_damaged_gzip_is_named(tmp_path):
    path = tmp_path / "damaged-idx.gz"
    path.write_bytes(gzip.compress(WHOLE)[:-3])
    with pytest.raises(DataError, match=r"damaged-idx\.gz: expected a whole gzip file"):
        read_idx(path)
