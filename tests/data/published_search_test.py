import dataclasses
import gzip

import pytest

from vae_lowlevel.data import download, published
from vae_lowlevel.errors import DataError

FILES = tuple(published.FASHION_MNIST.files)
OWN = {name: f"own {name}".encode() for name in FILES}
OTHER = {name: f"other {name}".encode() for name in FILES}


def make_dataset(name, contents):
    files = {
        file: download.KnownContent(download.sha256_of(text), len(text))
        for file, text in contents.items()
    }
    return dataclasses.replace(published.MNIST, name=name, files=files)


DATASET = make_dataset("own", OWN)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """Two known data sets with the same file names, an empty cache and no variable."""
    known = {"own": DATASET, "other": make_dataset("other", OTHER)}
    monkeypatch.setattr(published, "PUBLISHED", known)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("VAE_LOWLEVEL_DATA_DIR", raising=False)


def put(folder, contents, suffix=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(text) if suffix else text)
    return folder


def folder_of(paths):
    assert tuple(paths) == FILES
    assert all(path.name.removesuffix(".gz") == name for name, path in paths.items())
    (folder,) = {path.parent for path in paths.values()}
    return folder


@pytest.mark.parametrize("suffix", ["", ".gz"], ids=["raw", "gzip"])
@pytest.mark.parametrize("subfolder", ["own", "."])
def test_data_dir_has_the_files_itself_or_in_a_subfolder(tmp_path, suffix, subfolder):
    put(tmp_path / subfolder, OWN, suffix)
    assert folder_of(published.find_files(DATASET, str(tmp_path))) == tmp_path / subfolder


def test_the_order_is_data_dir_then_variable_then_cache(tmp_path, monkeypatch):
    given, variable = put(tmp_path / "given", OWN), put(tmp_path / "variable", OWN)
    cache = put(tmp_path / "cache" / "vae_lowlevel" / "own", OWN)
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", str(variable))
    assert folder_of(published.find_files(DATASET, str(given))) == given
    assert folder_of(published.find_files(DATASET, None)) == variable
    assert folder_of(published.find_files(DATASET, "")) == variable
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", "")
    assert folder_of(published.find_files(DATASET, None)) == cache


def test_the_subfolder_comes_before_the_folder(tmp_path):
    put(tmp_path, OWN)
    own = put(tmp_path / "own", OWN)
    assert folder_of(published.find_files(DATASET, str(tmp_path))) == own


def test_data_dir_without_the_files_is_an_error_at_once(tmp_path, monkeypatch):
    put(tmp_path / "cache" / "vae_lowlevel" / "own", OWN)
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", str(put(tmp_path / "variable", OWN)))
    given = put(tmp_path / "given", {name: OWN[name] for name in FILES[:2]})
    with pytest.raises(DataError) as caught:
        published.find_files(DATASET, str(given))
    message = str(caught.value)
    assert f"--data_dir={given}" in message
    assert f"{given / 'own'}: no such folder" in message
    assert f"{given}: no {FILES[2]}, {FILES[3]}\n" in message
    assert "remove --data_dir to download" in message


def test_another_data_set_of_the_same_file_names_is_no_match(tmp_path, monkeypatch):
    other = put(tmp_path / "other", OTHER)
    with pytest.raises(DataError, match=f"{other}: contains other\n"):
        published.find_files(DATASET, str(other))
    cache = put(tmp_path / "cache" / "vae_lowlevel" / "own", OWN)
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", str(other))
    assert folder_of(published.find_files(DATASET, None)) == cache


def test_what_no_folder_has_is_downloaded_to_the_cache(
    tmp_path, monkeypatch, mirror, answer, waits
):
    """The variable lacks the data set; the cache has one file of an earlier, interrupted run."""
    monkeypatch.setenv("VAE_LOWLEVEL_DATA_DIR", str(put(tmp_path / "variable", OTHER)))
    cache = put(tmp_path / "cache" / "vae_lowlevel" / "own", {FILES[1]: OWN[FILES[1]]})
    for name, text in OWN.items():
        mirror.answers[f"/{name}.gz"] = [answer(200, gzip.compress(text))]
    dataset = dataclasses.replace(DATASET, mirrors=(mirror.url,))
    paths = published.find_files(dataset, None)
    assert folder_of(paths) == cache
    assert {name: gzip.decompress(path.read_bytes()) for name, path in paths.items()} == OWN
    assert sorted(mirror.requested) == sorted(f"/{name}.gz" for name in FILES if name != FILES[1])
    mirror.requested.clear()
    assert published.find_files(dataset, None) == paths
    assert mirror.requested == []


@pytest.mark.parametrize("variable", [None, "", "relative/folder"])
def test_without_a_usable_xdg_folder_the_cache_is_in_the_home_folder(
    tmp_path, monkeypatch, variable
):
    if variable is None:
        monkeypatch.delenv("XDG_CACHE_HOME")
    else:
        monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = put(tmp_path / ".cache" / "vae_lowlevel" / "own", OWN)
    assert folder_of(published.find_files(DATASET, None)) == cache


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "data", OWN)
    assert folder_of(published.find_files(DATASET, "~/data")) == tmp_path / "data"
