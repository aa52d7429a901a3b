from __future__ import annotations

import dataclasses
import io
import re
import tarfile

import numpy as np
import pytest

from vae_lowlevel.data import formats, published
from vae_lowlevel.data.download import KnownContent, sha256_of
from vae_lowlevel.errors import DataError

ROWS = 3


def batch(seed, label=None):
    """A data file by its published layout: a label, then 1024 of red, of green and of blue."""
    rng = np.random.default_rng(seed)
    rows = rng.integers(0, 256, [ROWS, 3073], np.uint8)
    rows[:, 0] = rng.integers(0, 10, ROWS) if label is None else label
    return rows.tobytes()


def contents():
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    return {f"cifar-10-batches-bin/{name}": batch(seed) for seed, name in enumerate(names)}


ARCHIVE = "cifar-10-binary.tar.gz"


def known_as(content):
    """CIFAR-10 with the sum and size of another archive."""
    known = KnownContent(sha256_of(content), len(content))
    return dataclasses.replace(published.CIFAR10, files={ARCHIVE: known})


@pytest.fixture
def make_archive(tmp_path, monkeypatch):
    """Returns a function that packs files under the published name: the path and its data set."""
    monkeypatch.setattr(formats, "CIFAR10_ROWS", ROWS)

    def make(files, links=(), subfolder="cifar10"):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            for name, target in links:
                member = tarfile.TarInfo(name)
                member.type, member.linkname = tarfile.SYMTYPE, target
                archive.addfile(member)
        path = tmp_path / subfolder / ARCHIVE
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        return path, known_as(buffer.getvalue())

    return make


def test_files_become_images_by_the_published_layout(make_archive, tmp_path):
    _, dataset = make_archive(contents())
    train, test = published.load_published(dataset, str(tmp_path))
    assert train.image.shape == (5 * ROWS, 32, 32, 3)
    assert train.label.dtype == np.int32
    for index in range(5):
        rows = np.frombuffer(batch(index), np.uint8).reshape(ROWS, 3073)
        own = slice(index * ROWS, (index + 1) * ROWS)
        np.testing.assert_array_equal(train.label[own], rows[:, 0])
        for channel in range(3):
            plane = rows[:, 1 + 1024 * channel : 1 + 1024 * (channel + 1)]
            np.testing.assert_array_equal(train.image[own, ..., channel].reshape(ROWS, -1), plane)
    assert test.image.shape == (ROWS, 32, 32, 3)


@pytest.mark.parametrize("subfolder", [".", "cifar10"])
@pytest.mark.parametrize("by_variable", [True, False])
def test_the_archive_is_found_in_the_folder_and_below(
    make_archive, tmp_path, monkeypatch, subfolder, by_variable
):
    _, dataset = make_archive(contents(), subfolder=subfolder)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", str(tmp_path) if by_variable else "/nowhere")
    train, _ = published.load_published(dataset, None if by_variable else str(tmp_path))
    assert len(train) == 5 * ROWS


def test_a_folder_without_the_archive_is_named(tmp_path):
    message = rf"--data_dir={re.escape(str(tmp_path))}: expected .*cifar10.*{ARCHIVE}"
    with pytest.raises(DataError, match=message):
        published.load_published(published.CIFAR10, str(tmp_path))


def test_without_the_archive_it_is_downloaded_once(
    tmp_path, monkeypatch, make_archive, mirror, answer
):
    path, dataset = make_archive(contents())
    content = path.read_bytes()
    path.unlink()
    mirror.answers[f"/{ARCHIVE}"] = [answer(body=content)]
    dataset = dataclasses.replace(dataset, mirrors=(mirror.url,))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VAE_LOWLEVEL_DATA_DIR", raising=False)
    for _ in range(2):
        assert len(published.load_published(dataset, None)[0]) == 5 * ROWS
    assert mirror.requested == [f"/{ARCHIVE}"]
    kept = tmp_path / "cache" / "vae_lowlevel" / "cifar10" / ARCHIVE
    assert kept.read_bytes() == content


def test_another_archive_is_refused_by_its_sum(make_archive, tmp_path):
    path, _ = make_archive(contents())
    wanted = published.CIFAR10.files[ARCHIVE].sha256
    found = sha256_of(path.read_bytes())
    message = rf"{re.escape(str(path))}: .*{wanted}, found {found}.*replace.* {ARCHIVE} of cifar10"
    with pytest.raises(DataError, match=message):
        published.load_published(published.CIFAR10, str(tmp_path))


def test_members_with_other_names_are_ignored(make_archive, tmp_path):
    outside = {"../escaped.bin": b"x", "/escaped.bin": b"x", "cifar-10-batches-bin/readme": b"x"}
    _, dataset = make_archive({**outside, **contents()})
    before = set(tmp_path.rglob("*"))
    assert len(published.load_published(dataset, str(tmp_path))[0]) == 5 * ROWS
    assert set(tmp_path.rglob("*")) == before
    assert not (tmp_path.parent / "escaped.bin").exists()


FIRST = "cifar-10-batches-bin/data_batch_1.bin"


@pytest.mark.parametrize(
    ("changes", "links", "message"),
    [
        ({FIRST: None}, (), "expected data_batch_1.bin in cifar-10-batches-bin/, found none"),
        ({FIRST: b"short"}, (), f"expected {FIRST} as a file of {ROWS * 3073} bytes, found 5"),
        ({FIRST: None}, ((FIRST, "/etc/passwd"),), f"expected {FIRST} as a file of .* found 0"),
        (
            {FIRST: batch(0, label=10)},
            (),
            r"data_batch_1.bin: expected labels from 0 to 9.*, found 10 to 10",
        ),
    ],
)
def test_archives_of_other_content_are_refused(make_archive, tmp_path, changes, links, message):
    files = {**contents(), **changes}
    path, dataset = make_archive({n: c for n, c in files.items() if c is not None}, links)
    with pytest.raises(DataError, match=message) as caught:
        published.load_published(dataset, str(tmp_path))
    assert str(path) in str(caught.value)


def test_a_damaged_archive_is_named(make_archive, tmp_path):
    path, _ = make_archive(contents())
    cut = path.read_bytes()[:-2000]
    path.write_bytes(cut)
    with pytest.raises(DataError, match=rf"{re.escape(str(path))}: expected a complete gzip file"):
        published.load_published(known_as(cut), str(tmp_path))
