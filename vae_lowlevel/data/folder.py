"""Reads images from class folders."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import tensorflow as tf

from vae_lowlevel.data.arrays import check_fits_memory
from vae_lowlevel.data.images import read_picture
from vae_lowlevel.errors import ConfigError, DataError
from vae_lowlevel.types import Examples

SUFFIXES = (".png", ".jpg", ".jpeg")
TRAIN, TEST = "train", "test"


def load_folder(path: str, image_size: int) -> tuple[Examples, Examples | None, tuple[str, ...]]:
    """Reads PNG and JPEG images and resizes them to squares.

    The subfolders of `path` are the classes, in the order of their names. Images directly in `path`
    have no class: label -1. Other files, and files and folders that begin with a dot, are ignored.

    If there is a folder `train`, it is the training split and `test`, if there is one, the test
    split: both are read like `path` above, with the classes of `train`. No other folder may be next
    to `train`. Without `train`, a folder `test` is a class like the folders next to it.

    The central square of each image is resized with anti-aliasing. If all images are grey, C = 1;
    otherwise all are RGB, C = 3. Transparency is dropped.

    Args:
        path: the folder.
        image_size: height and width S of the result, in pixels.

    Returns:
        the training split and the test split or None, image uint8 [N, S, S, C], label int32 [N];
        and the class names.

    Raises:
        DataError: the folder is missing or has no images, it is not clear which folder is which
            split, a file is not an image, or the images are larger than memory.
    """
    root = pathlib.Path(os.path.expanduser(path))
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder of images, found no such folder")
    folders = _split_folders(root)
    names = _subfolders(folders[0])
    files = [_list_images(folder, names) for folder in folders]
    count = sum(map(len, files))
    try:
        check_fits_memory(count * image_size**2, f"{count} images of {image_size} x {image_size}")
    except ValueError as error:
        raise ConfigError(f"--image_size={image_size} makes {error}") from error
    images = [[_read_image(file, image_size) for file, _ in split] for split in files]
    channels = max(image.shape[-1] for split in images for image in split)
    examples = [
        Examples(
            np.stack([np.broadcast_to(image, [*image.shape[:2], channels]) for image in split]),
            np.array([label for _, label in labelled], np.int32),
        )
        for split, labelled in zip(images, files, strict=True)
    ]
    return examples[0], examples[1] if len(examples) > 1 else None, names


def _split_folders(root: pathlib.Path) -> list[pathlib.Path]:
    """Returns the folder of the training split and, if there is one, that of the test split."""
    subfolders = _subfolders(root)
    if TRAIN in subfolders:
        others = [name for name in subfolders if name not in (TRAIN, TEST)]
        if others:
            raise DataError(
                f"{root}: expected no folders but {TEST}/ next to {TRAIN}/, found "
                f"{', '.join(others)}; move these folders into {TRAIN}/ or elsewhere, or rename "
                f"{TRAIN}/ if it is a class"
            )
        return [root / name for name in (TRAIN, TEST) if name in subfolders]
    # An only folder, or one with classes in it, is not a class.
    if TEST in subfolders and (len(subfolders) == 1 or _subfolders(root / TEST)):
        raise DataError(
            f"{root}: expected {TRAIN}/ next to {TEST}/, found none; move the training images into "
            f"{root / TRAIN}"
        )
    return [root]


def _subfolders(folder: pathlib.Path) -> tuple[str, ...]:
    """Returns the names of the folders in a folder, sorted."""
    return tuple(
        sorted(
            part.name
            for part in folder.iterdir()
            if part.is_dir() and not part.name.startswith(".")
        )
    )


def _list_images(folder: pathlib.Path, names: tuple[str, ...]) -> list[tuple[pathlib.Path, int]]:
    """Returns the image files of a split and their classes, sorted by class, then by name."""
    unknown = sorted(set(_subfolders(folder)).difference(names))
    if unknown:
        raise DataError(
            f"{folder}: expected only the training classes, {', '.join(names) or 'none'}, "
            f"found {', '.join(unknown)}"
        )
    files = [(file, -1) for file in _images_in(folder)]
    for label, name in enumerate(names):
        if (folder / name).is_dir():
            files += [(file, label) for file in _images_in(folder / name)]
    if not files:
        raise DataError(
            f"{folder}: expected images ({', '.join(SUFFIXES)}) in it or in its subfolders, "
            "found none"
        )
    return files


def _images_in(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )


def _read_image(file: pathlib.Path, image_size: int) -> np.ndarray:
    """Returns the central square, resized: uint8 [S, S, 1 or 3]."""
    image = read_picture(file)
    # 1 grey, 2 grey with transparency, 3 RGB, 4 RGB with transparency.
    image = image[..., : 1 if image.shape[-1] <= 2 else 3]
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = image[top : top + side, left : left + side]
    if side == image_size:
        return square
    resized = tf.image.resize(square, [image_size, image_size], antialias=True)
    return np.clip(np.rint(resized), 0, 255).astype(np.uint8)
