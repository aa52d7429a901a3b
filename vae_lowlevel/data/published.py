"""MNIST, Fashion-MNIST and CIFAR-10: finds or downloads, verifies and reads their files."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Callable

from vae_lowlevel.data.download import (
    KnownContent,
    cache_folder,
    decompress,
    fetch,
    read_bytes,
    sha256_of,
    verify,
)
from vae_lowlevel.data.formats import (
    CIFAR10_ARCHIVE,
    TEST_IMAGES,
    TEST_LABELS,
    TRAIN_IMAGES,
    TRAIN_LABELS,
    parse_cifar10,
    parse_mnist,
)
from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

DATA_DIR_VARIABLE = "VAE_LOWLEVEL_DATA_DIR"


@dataclasses.dataclass(frozen=True)
class PublishedDataset:
    """A data set with published files.

    Attributes:
        name: its name, also the name of its folder.
        files: sum and size of each file, by file name.
        suffix: appended to the file names on the mirrors: ".gz" if the files are compressed there,
            "" if not.
        mirrors: base URLs, each with a slash at the end.
        class_names: one name per class.
        parse: (content of each file, path of each file) -> training split, test split.
    """

    name: str
    files: dict[str, KnownContent]
    suffix: str
    mirrors: tuple[str, ...]
    class_names: tuple[str, ...]
    parse: Callable[[dict[str, bytes], dict[str, pathlib.Path]], tuple[Examples, Examples]]


def _idx_files(sums: dict[str, str]) -> dict[str, KnownContent]:
    """Returns the decompressed files of a data set like MNIST: a header, then one byte each."""
    sizes = {
        TRAIN_IMAGES: 16 + 60000 * 28 * 28,
        TRAIN_LABELS: 8 + 60000,
        TEST_IMAGES: 16 + 10000 * 28 * 28,
        TEST_LABELS: 8 + 10000,
    }
    return {name: KnownContent(sha256, sizes[name]) for name, sha256 in sums.items()}


FASHION_MNIST = PublishedDataset(
    name="fashion_mnist",
    files=_idx_files(
        {
            TRAIN_IMAGES: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            TRAIN_LABELS: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            TEST_IMAGES: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            TEST_LABELS: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        }
    ),
    suffix=".gz",
    mirrors=(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    ),
    class_names=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    parse=parse_mnist,
)

MNIST = PublishedDataset(
    name="mnist",
    files=_idx_files(
        {
            TRAIN_IMAGES: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            TRAIN_LABELS: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            TEST_IMAGES: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            TEST_LABELS: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        }
    ),
    suffix=".gz",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    class_names=tuple("0123456789"),
    parse=parse_mnist,
)

CIFAR10 = PublishedDataset(
    name="cifar10",
    # Of the archive with the MD5 c32a1d4ab5d03f1284b67883e8d87530, which its page states.
    files={
        CIFAR10_ARCHIVE: KnownContent(
            "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170498071
        )
    },
    suffix="",
    mirrors=(
        "https://www.cs.toronto.edu/~kriz/",
        "https://cave.cs.toronto.edu/kriz/",
    ),
    class_names=(
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
    ),
    parse=parse_cifar10,
)

PUBLISHED = {dataset.name: dataset for dataset in (FASHION_MNIST, MNIST, CIFAR10)}


def load_published(dataset: PublishedDataset, data_dir: str | None) -> tuple[Examples, Examples]:
    """Reads a published data set and downloads the files that no folder has.

    The files are verified by their published SHA-256 each time they are read.

    Args:
        dataset: what to read.
        data_dir: as in `find_files`.

    Returns:
        the training split and the test split.

    Raises:
        DataError: `data_dir` does not have the files, they cannot be downloaded, or one is damaged
            or not of this data set.
    """
    files = find_files(dataset, data_dir)
    content = {name: _read_verified(dataset, name, path) for name, path in files.items()}
    return dataset.parse(content, files)


def find_files(dataset: PublishedDataset, data_dir: str | None) -> dict[str, pathlib.Path]:
    """Returns the path of each file of a data set; downloads the files that no folder has.

    With `data_dir`, only that folder is searched. Otherwise $VAE_LOWLEVEL_DATA_DIR and then the
    cache folder are searched, and missing files are downloaded into the cache folder. A folder has
    a data set if the folder or its subfolder `<name>` has all files, compressed or not.

    Args:
        dataset: what to search for.
        data_dir: the folder that the user names; None or empty if there is none.

    Returns:
        A path for each file name in `dataset.files`. The content is not verified yet.

    Raises:
        DataError: `data_dir` does not have the data set, or it cannot be downloaded.
    """
    if data_dir:
        files, reasons = _search(dataset, data_dir)
        if files is None:
            raise DataError(
                f"--data_dir={data_dir}: expected the files of {dataset.name} in one of two "
                f"folders, {', '.join(dataset.files)}, found:\n  " + "\n  ".join(reasons) + "\nPut "
                "the files there, or remove --data_dir to download them"
            )
        return files
    shared = os.environ.get(DATA_DIR_VARIABLE)
    if shared:
        files, _ = _search(dataset, shared)
        if files is not None:
            return files
    cache = cache_folder()
    files, _ = _search(dataset, cache)
    if files is not None:
        return files
    folder = cache / dataset.name
    return {
        name: _stored(dataset, folder, name)
        or fetch(name + dataset.suffix, dataset.mirrors, folder, known)
        for name, known in dataset.files.items()
    }


def _search(
    dataset: PublishedDataset, root: str | os.PathLike
) -> tuple[dict[str, pathlib.Path] | None, list[str]]:
    """Returns the files in `root/<name>` or `root`, or None; and why each folder was rejected."""
    root = pathlib.Path(os.path.expanduser(root))
    reasons = []
    for folder in (root / dataset.name, root):
        files = {name: _stored(dataset, folder, name) for name in dataset.files}
        missing = [name for name, path in files.items() if path is None]
        if not os.path.isdir(folder):
            reasons.append(f"{folder}: no such folder")
        elif missing:
            reasons.append(f"{folder}: no {', '.join(missing)}")
        # MNIST and Fashion-MNIST have the same file names. The sums tell them apart in a folder
        # without the name of one.
        elif folder == root and (owner := _owner(files)) not in (None, dataset.name):
            reasons.append(f"{folder}: contains {owner}")
        else:
            return files, []
    return None, reasons


def _stored(dataset: PublishedDataset, folder: pathlib.Path, name: str) -> pathlib.Path | None:
    """Returns the path of a file in a folder, as published or decompressed; None without it."""
    paths = (folder / (name + dataset.suffix), folder / name)
    return next((path for path in paths if os.path.isfile(path)), None)


def _owner(files: dict[str, pathlib.Path]) -> str | None:
    """Returns the name of the data set that IDX files belong to, if it is a known one."""
    path = files.get(TEST_LABELS)
    if path is None:
        return None
    labels = {
        other.name: other.files[TEST_LABELS]
        for other in PUBLISHED.values()
        if TEST_LABELS in other.files
    }
    content = read_bytes(path, max(known.most_bytes for known in labels.values()))
    found = sha256_of(decompress(content, max(known.size for known in labels.values()), path))
    return next((name for name, known in labels.items() if known.sha256 == found), None)


def _read_verified(dataset: PublishedDataset, name: str, path: pathlib.Path) -> bytes:
    """Returns the content of a file, decompressed if the published sum is that of the content."""
    known = dataset.files[name]
    try:
        return verify(read_bytes(path, known.most_bytes), known, path)
    except DataError as error:
        raise DataError(
            f"{error}; replace it with {name} of {dataset.name}, or delete it if it was downloaded"
        ) from error
