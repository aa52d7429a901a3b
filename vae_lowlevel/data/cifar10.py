"""CIFAR-10, from its published binary archive."""

from __future__ import annotations

import io
import os
import pathlib
import tarfile

import numpy as np

from vae_lowlevel.data.download import DATA_DIR_VARIABLE, cache_folder, fetch, read_bytes, sha256_of
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

ARCHIVE = "cifar-10-binary.tar.gz"
# Of the archive as published, whose MD5 c32a1d4ab5d03f1284b67883e8d87530 its page states.
SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
MIRRORS = (
    "https://www.cs.toronto.edu/~kriz/",
    "https://cave.cs.toronto.edu/kriz/",
)
FOLDER = "cifar-10-batches-bin"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILE = "test_batch.bin"
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
ROWS = 10000  # of each file
_SIZE, _CHANNELS = 32, 3
_ROW_BYTES = 1 + _CHANNELS * _SIZE * _SIZE


def load_cifar10(data_dir: str | None) -> tuple[Examples, Examples]:
    """Reads CIFAR-10, downloading its archive if no folder has it.

    Looks for the archive in `data_dir` if it is given, and there only; else in
    $VAE_LOWLEVEL_DATA_DIR and the cache folder; each time in the folder and its subfolder
    `cifar10`. The archive is read in memory, by the names of its six data files; nothing is
    unpacked to the disk.

    Returns:
        50000 training and 10000 test examples: image uint8 [N, 32, 32, 3], label int32 [N].

    Raises:
        DataError: the archive is missing or damaged, or it cannot be downloaded.

    References:
        Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """
    path = _locate(data_dir)
    content = read_bytes(path)
    found = sha256_of(content)
    if found != SHA256:
        raise DataError(
            f"{path}: expected {ARCHIVE} of CIFAR-10 with SHA-256 {SHA256}, found {found}; replace "
            "the file, or delete it if it was downloaded"
        )
    files = _read_members(content, path)
    train = [parse_batch(files[name], f"{path}/{name}") for name in TRAIN_FILES]
    image, label = (np.concatenate(parts) for parts in zip(*train, strict=True))
    return Examples(image, label), Examples(*parse_batch(files[TEST_FILE], f"{path}/{TEST_FILE}"))


def parse_batch(content: bytes, origin: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images, uint8 [N, 32, 32, 3], and labels, int32 [N], of one data file.

    A row is a label byte and 3072 pixels: 32 x 32 of red, then of green, then of blue.
    """
    if not content or len(content) % _ROW_BYTES:
        raise DataError(
            f"{origin}: expected rows of {_ROW_BYTES} bytes, found {len(content)} bytes"
        )
    rows = np.frombuffer(content, np.uint8).reshape(-1, _ROW_BYTES)
    label = rows[:, 0].astype(np.int32)
    if label.max() >= len(CLASS_NAMES):
        raise DataError(f"{origin}: expected labels from 0 to 9, found {label.max()}")
    image = rows[:, 1:].reshape(-1, _CHANNELS, _SIZE, _SIZE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(image), label


def _locate(data_dir: str | None) -> pathlib.Path:
    if data_dir:
        path = _search(data_dir)
        if path is None:
            raise DataError(
                f"--data_dir={data_dir}: expected {ARCHIVE} in it or in its folder cifar10, found "
                "neither. Put the file there, or leave --data_dir out to download it"
            )
        return path
    shared = os.environ.get(DATA_DIR_VARIABLE)
    cache = cache_folder()
    folder = cache / "cifar10"
    return (
        (_search(shared) if shared else None)
        or _search(cache)
        or fetch(ARCHIVE, MIRRORS, folder, SHA256, is_packed_sum=True)
    )


def _search(root: str | os.PathLike) -> pathlib.Path | None:
    root = pathlib.Path(os.path.expanduser(root))
    for path in (root / "cifar10" / ARCHIVE, root / ARCHIVE):
        if os.path.isfile(path):
            return path
    return None


def _read_members(content: bytes, origin: pathlib.Path) -> dict[str, bytes]:
    """Returns the content of the six data files; anything else in the archive is passed over."""
    wanted = {f"{FOLDER}/{name}": name for name in (*TRAIN_FILES, TEST_FILE)}
    files = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
            for member in archive:
                name = wanted.get(member.name)
                if name is None:
                    continue
                size = ROWS * _ROW_BYTES
                if not member.isfile() or member.size != size:
                    raise DataError(
                        f"{origin}: expected {member.name} as a file of {size} bytes, found "
                        f"{member.size} bytes"
                    )
                files[name] = archive.extractfile(member).read()
    except (tarfile.TarError, OSError, EOFError) as error:
        raise DataError(f"{origin}: not a readable .tar.gz file: {error}") from error
    missing = [name for name in (*TRAIN_FILES, TEST_FILE) if name not in files]
    if missing:
        raise DataError(f"{origin}: expected {', '.join(missing)} in {FOLDER}/, found none")
    return files
