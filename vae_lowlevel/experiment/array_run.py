"""Runs that start from arrays: their images are kept in the run folder."""

from __future__ import annotations

import os

import numpy as np

from vae_lowlevel.config import Config
from vae_lowlevel.data.arrays import read_npz
from vae_lowlevel.errors import DataError, RunError
from vae_lowlevel.experiment.folder import RunFolder
from vae_lowlevel.experiment.opening import open_run_folder


def open_array_run(
    config: Config, model_dir: str, image: np.ndarray, label: np.ndarray
) -> tuple[Config, RunFolder]:
    """Opens a run folder and keeps the images of the run in it.

    Args:
        config: of the run, but for what follows from the folder.
        model_dir: the run folder, new or of the same run.
        image: as `Examples.image`.
        label: int32 [N].

    Returns:
        The whole config and the folder.

    Raises:
        ConfigError: the folder is of another run.
        RunError: the folder has other images or labels.
    """
    data = RunFolder(os.path.abspath(model_dir)).kept_images
    config = config.replace(dataset=f"npz:{data}", model_dir=model_dir, export_dir="")
    folder, notes = open_run_folder(config)
    for note in notes:
        print(note)
    _keep_images(data, image, label)
    return config, folder


def _keep_images(path: str, image: np.ndarray, label: np.ndarray) -> None:
    """Writes the images into the run folder, or checks that it has these already."""
    if os.path.isfile(path):
        try:
            kept = read_npz(path, ("image", "label")).arrays
            pairs = ((kept["image"], image), (kept["label"], label))
            found = None if all(np.array_equal(*pair) for pair in pairs) else "others"
        except (DataError, KeyError) as error:
            found = f"another file ({error})"
        if found:
            raise RunError(
                f"{path}: expected the images and labels of this call, found {found}; pass "
                "those, or another model_dir"
            )
        return
    os.makedirs(os.path.dirname(path), exist_ok=True)
    partial = f"{path}.partial.npz"
    np.savez(partial, image=image, label=label)
    os.replace(partial, path)
