"""Where the files of an IDX data set are: in a folder at hand, or downloaded to the cache."""

from __future__ import annotations

import os
import pathlib

from vae_lowlevel.data.download import (
    DATA_DIR_VARIABLE,
    cache_folder,
    fetch,
    read_content,
    sha256_of,
)
from vae_lowlevel.data.idx_datasets import IDX_DATASETS, TEST_LABELS, IdxDataset
from vae_lowlevel.errors import DataError


def locate(dataset: IdxDataset, data_dir: str | None) -> dict[str, pathlib.Path]:
    """Returns the path of each file of a data set, downloading what no folder has.

    Looks into `data_dir` if it is given, and there only. Else into $VAE_LOWLEVEL_DATA_DIR and the
    cache folder, `$XDG_CACHE_HOME/vae_lowlevel` or `~/.cache/vae_lowlevel`; then downloads. A
    folder has a data set if it or its subfolder `<name>` has all four files, with `.gz` or not.

    Args:
        dataset: what to look for.
        data_dir: the folder from the command line; None or empty if none was given.

    Returns:
        A path for each file name in `dataset.sums`. The content is not checked yet.

    Raises:
        DataError: `data_dir` lacks the data set, or it cannot be downloaded.
    """
    if data_dir:
        root = pathlib.Path(os.path.expanduser(data_dir))
        files, reasons = _search(dataset, root)
        if files is None:
            raise DataError(
                f"--data_dir={data_dir}: expected {', '.join(dataset.sums)}, each with .gz or "
                f"without, of {dataset.name} in one of two folders, found:\n  "
                + "\n  ".join(reasons)
                + "\nPut the files there, or leave --data_dir out to download them"
            )
        return files
    shared = os.environ.get(DATA_DIR_VARIABLE)
    if shared:
        files, _ = _search(dataset, pathlib.Path(os.path.expanduser(shared)))
        if files is not None:
            return files
    cache = cache_folder()
    files, _ = _search(dataset, cache)
    return files or _download_missing(dataset, cache / dataset.name)


def _search(
    dataset: IdxDataset, root: pathlib.Path
) -> tuple[dict[str, pathlib.Path] | None, list[str]]:
    """Returns the files in `root/<name>` or `root`, or None; and why a folder was passed over."""
    reasons = []
    for folder in (root / dataset.name, root):
        files = {name: _present(folder, name) for name in dataset.sums}
        missing = [name for name, path in files.items() if path is None]
        if not os.path.isdir(folder):
            reasons.append(f"{folder}: no such folder")
        elif missing:
            reasons.append(f"{folder}: lacks {', '.join(missing)}")
        # The data sets have the same file names: in a folder not named for one, the sums decide.
        elif folder == root and (other := _owner(files[TEST_LABELS])) not in (None, dataset.name):
            reasons.append(f"{folder}: holds {other}")
        else:
            return files, []
    return None, reasons


def _present(folder: pathlib.Path, name: str) -> pathlib.Path | None:
    for path in (folder / f"{name}.gz", folder / name):
        if os.path.isfile(path):
            return path
    return None


def _owner(test_labels: pathlib.Path) -> str | None:
    """Returns the name of the data set that a file of test labels belongs to, if we know it."""
    found = sha256_of(read_content(test_labels))
    for dataset in IDX_DATASETS.values():
        if dataset.sums[TEST_LABELS] == found:
            return dataset.name
    return None


def _download_missing(dataset: IdxDataset, folder: pathlib.Path) -> dict[str, pathlib.Path]:
    """Completes `folder`; an interrupted download goes on with the files it lacks."""
    return {
        name: _present(folder, name) or fetch(f"{name}.gz", dataset.mirrors, folder, wanted)
        for name, wanted in dataset.sums.items()
    }
