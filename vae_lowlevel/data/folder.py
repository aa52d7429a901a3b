"""Images in class folders."""

from __future__ import annotations

import os
import pathlib

import numpy as np
import tensorflow as tf

from vae_lowlevel.errors import DataError
from vae_lowlevel.types import Examples

SUFFIXES = (".png", ".jpg", ".jpeg")


def load_folder(path: str, image_size: int) -> tuple[Examples, Examples | None, tuple[str, ...]]:
    """Reads PNG and JPEG images and resizes them to squares.

    The classes are the subfolders of `path`, in the order of their names; images that lie in `path`
    itself have no class, -1. If there are folders `train` and `test`, each is read so, the classes
    being those of `train`. Other files and hidden ones are passed over.

    The central square of an image is scaled with anti-aliasing. Images are grey, C = 1, if all of
    them are; else all are RGB, C = 3. Transparency is dropped.

    Args:
        path: the folder.
        image_size: height and width S of the result, in pixels.

    Returns:
        the training split, the test split or None, and the class names.

    Raises:
        DataError: there is no such folder or nothing in it, or a file is no image.
    """
    root = pathlib.Path(os.path.expanduser(path))
    if not root.is_dir():
        raise DataError(f"{root}: expected a folder of images, found no such folder")
    if (root / "train").is_dir() and (root / "test").is_dir():
        names = _class_names(root / "train")
        splits = [_list_images(root / "train", names), _list_images(root / "test", names)]
    else:
        names = _class_names(root)
        splits = [_list_images(root, names)]
    images = [[_read_image(file, image_size) for file, _ in files] for files in splits]
    channels = max(image.shape[-1] for split in images for image in split)
    examples = [
        Examples(
            np.stack([np.broadcast_to(image, [*image.shape[:2], channels]) for image in split]),
            np.array([label for _, label in files], np.int32),
        )
        for split, files in zip(images, splits, strict=True)
    ]
    return examples[0], examples[1] if len(examples) > 1 else None, names


def _class_names(folder: pathlib.Path) -> tuple[str, ...]:
    return tuple(sorted(part.name for part in folder.iterdir() if _is_class(part)))


def _is_class(path: pathlib.Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _list_images(folder: pathlib.Path, names: tuple[str, ...]) -> list[tuple[pathlib.Path, int]]:
    """Returns the images of a split and their classes, in the order of their names."""
    unknown = sorted(set(_class_names(folder)).difference(names))
    if unknown:
        raise DataError(
            f"{folder}: expected classes of the training images, {', '.join(names) or 'none'}, "
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
    """Returns uint8 [S, S, 1 or 3]."""
    try:
        image = tf.io.decode_image(file.read_bytes(), expand_animations=False).numpy()
    except (OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{file}: expected a PNG or JPEG image, found: {reason}") from error
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
