"""Files whose headers claim more than they hold, and archives that NumPy does not write."""

import functools
import io
import pathlib
import re
import resource
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from vae_lowlevel.data import arrays
from vae_lowlevel.errors import DataError

HEADER = "{'descr': %r, 'fortran_order': False, 'shape': %s, }"


def npy(shape, content, descr="|u1", header=None):
    """An .npy file of any claims."""
    text = (HEADER % (descr, shape) if header is None else header).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def write_npz(path, method=zipfile.ZIP_STORED, **members):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return str(path)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=np.int64).reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(4, 6)),
        np.arange(5, dtype=">f4"),
        np.array(["validation", "train"]),
        np.array("ckpt-3"),
        np.zeros([0, 4, 5], np.uint8),
        np.array([True, False]),
    ],
)
def test_what_numpy_writes_is_read(tmp_path, array):
    np.save(tmp_path / "x.npy", array)
    np.savez_compressed(tmp_path / "x.npz", other=np.zeros(3), x=array)
    read, names = arrays.read_npz(str(tmp_path / "x.npz"), ("x",))
    assert (names, set(read)) == (("other", "x"), {"x"})
    for found in (arrays.read_npy(str(tmp_path / "x.npy")), read["x"]):
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
        assert found.flags.writeable


CLAIMS = {
    "too many": npy((2**31 - 1, 8, 8), bytes(64)),
    "too many to count": npy((10**30, 4), bytes(4)),
    "10**4000": npy("(1" + "0" * 4000 + ",)", bytes(4)),
    "an axis of none beside a huge one": npy((0, 10**18, 10**18), b""),
    "too few": npy((3,), bytes(9)),
    "negative": npy((-1, -4), bytes(4)),
    "bool": npy("(True, 4)", bytes(4)),
    "33 axes": npy((1,) * 33, b"1"),
    "objects": npy((4,), bytes(32), "|O"),
    "records": npy((4,), bytes(32), [("a", "<i4"), ("b", "<i4")]),
    "nothing": npy((10**18,), b"", "|S0"),
    "no dtype": npy((4,), bytes(4), "|q9"),
    "no dict": npy((), b"", header="[1, 2"),
    "no shape": npy((), b"", header="{'descr': '|u1', 'fortran_order': False}"),
    "deep": npy((), b"", header="(" * 4000),
    "calls": npy((), b"", header="__import__('os').getcwd()"),
    "version": b"\x93NUMPY\x09\x00" + bytes(64),
    "header": b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1) + bytes(64),
    "cut": npy((4,), bytes(4))[:20],
    "empty": b"",
}


@pytest.mark.parametrize("content", CLAIMS.values(), ids=CLAIMS)
@pytest.mark.parametrize("kind", ["npy", "npz", "deflated"])
def test_false_claims_are_refused_before_memory_is_allocated(tmp_path, content, kind):
    path = tmp_path / "x"
    if kind == "npy":
        path.write_bytes(content)
        read = arrays.read_npy
    else:
        method = zipfile.ZIP_STORED if kind == "npz" else zipfile.ZIP_DEFLATED
        write_npz(path, method, image=content)
        read = functools.partial(arrays.read_npz, wanted=("image",))
    tracemalloc.start()
    with pytest.raises(DataError, match=rf"^{re.escape(str(path))}: expected an .* found: "):
        read(str(path))
    assert tracemalloc.get_traced_memory()[1] < 4 << 20
    tracemalloc.stop()


def patch(content, signature, offset, field):
    """Replaces a field in every header of an archive with this signature."""
    content = bytearray(content)
    for match in re.finditer(re.escape(signature), bytes(content)):
        content[match.start() + offset : match.start() + offset + len(field)] = field
    return bytes(content)


@pytest.mark.parametrize(
    ("local", "central", "field", "message"),
    [
        (6, 8, b"\x01\x00", "image.npy is encrypted"),
        (8, 10, b"\x63\x00", "image.npy is compressed by method 99"),
        (4, 6, b"\xff\x00", "zip file version"),
        (22, 24, struct.pack("<I", 2**32 - 2), "claims 4294967294 bytes in"),
    ],
    ids=["encrypted", "method", "version", "size"],
)
def test_archives_that_numpy_does_not_write_are_refused(tmp_path, local, central, field, message):
    path = tmp_path / "x.npz"
    content = io.BytesIO()
    write_npz(content, image=npy((4,), bytes(4)))
    content = patch(content.getvalue(), b"PK\x03\x04", local, field)
    path.write_bytes(patch(content, b"PK\x01\x02", central, field))
    with pytest.raises(DataError, match=rf"x\.npz: expected an \.npz file.*{message}"):
        arrays.read_npz(str(path), ("image",))


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_methods_of_compression_are_refused(tmp_path, method):
    path = write_npz(tmp_path / "x.npz", method, image=npy((4,), bytes(4)))
    with pytest.raises(DataError, match=rf"compressed by method {method}, not by that of np\.sav"):
        arrays.read_npz(path, ("image",))


def test_a_name_that_differs_between_header_and_directory_is_damage(tmp_path):
    """Otherwise labels with a damaged name would be missing without a word."""
    path = tmp_path / "x.npz"
    write_npz(path, image=npy((4,), bytes(4)), label=npy((4,), bytes(4)))
    content = path.read_bytes()
    place = content.rindex(b"label.npy")
    path.write_bytes(content[:place] + b"Label.npy" + content[place + 9 :])
    with pytest.raises(DataError, match="differ"):
        arrays.read_npz(str(path), ("image", "label"))


def test_a_directory_that_loses_an_array_is_damage(tmp_path):
    """A comment of 128 bytes more in one entry skips the next ones."""
    path = tmp_path / "x.npz"
    write_npz(path, image=npy((4,), bytes(4)), label=npy((4,), bytes(4)), other=npy((), b"1"))
    content = bytearray(path.read_bytes())
    place = content.index(b"PK\x01\x02")
    content[place + 32] += 128
    path.write_bytes(content)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["image.npy"]
    with pytest.raises(DataError, match="a directory of 1 arrays that says it has 3"):
        arrays.read_npz(str(path), ("image", "label"))


def test_two_members_of_one_name_are_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        for name in ("image", "image.npy"):
            archive.writestr(name, npy((4,), bytes(4)))
    with pytest.raises(DataError, match="two arrays of one name"):
        arrays.read_npz(str(tmp_path / "x.npz"), ("image",))


def test_an_array_larger_than_memory_is_refused(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", np.zeros(5000, np.uint8))
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 4999}
    monkeypatch.setattr(arrays.os, "sysconf", sizes.get)
    with pytest.raises(DataError, match=r"of 5000 bytes, more than the 4999 bytes of memory"):
        arrays.read_npy(str(tmp_path / "x.npy"))


def test_an_array_for_which_memory_is_missing_is_refused(tmp_path):
    """As in a container with a limit: of address space, here."""
    path = tmp_path / "x.npy"
    with open(path, "wb") as file:
        file.write(npy((2**31 - 1,), b""))
        file.truncate(file.tell() + 2**31 - 1)  # a sparse file
    limits = resource.getrlimit(resource.RLIMIT_AS)
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), limits[1]))
    try:
        with pytest.raises(DataError, match="for which memory is missing"):
            arrays.read_npy(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_unreadable_files_are_named(tmp_path, monkeypatch):
    with pytest.raises(DataError, match=r"absent\.npy: .* found: No such file"):
        arrays.read_npy(str(tmp_path / "absent.npy"))

    def refuse(path, mode):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)
    for read in (arrays.read_npy, arrays.read_npz):
        with pytest.raises(DataError, match=r"x\.np: .* found: Permission denied"):
            read("x.np")
