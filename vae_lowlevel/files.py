"""Files of a run, on a disk of this machine or at an address such as gs://bucket/runs.

Addresses are read and written by TensorFlow's file systems. For a disk TensorFlow is not needed, so
that a wrong folder is refused at once.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

from vae_lowlevel.errors import ConfigError


def is_remote(path: str) -> bool:
    """Returns whether a path is an address: has a scheme."""
    return "://" in path


def check_reachable(path: str, flag: str) -> None:
    """Checks that TensorFlow has a file system for an address.

    Raises:
        ConfigError: it has none, or may not look there; names the flag.
    """
    if not is_remote(path):
        return
    import tensorflow as tf

    try:
        tf.io.gfile.exists(path)
    except tf.errors.OpError as error:
        raise ConfigError(
            f"--{flag}={path}: TensorFlow cannot reach it: {error.message}. For gs://, install "
            "tensorflow-io-gcs-filesystem and give it credentials"
        ) from error


def is_file(path: str) -> bool:
    """Returns whether there is such a file."""
    if is_remote(path):
        return _gfile().exists(path) and not _gfile().isdir(path)
    return os.path.isfile(path)


def is_folder(path: str) -> bool:
    """Returns whether there is such a folder."""
    return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def list_folder(path: str) -> list[str]:
    """Returns the names in a folder."""
    return _gfile().listdir(path) if is_remote(path) else os.listdir(path)


def make_folder(path: str) -> None:
    """Makes a folder, with those above it, if it is missing."""
    if is_remote(path):
        _gfile().makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def delete_folder(path: str) -> None:
    """Deletes a folder with all that is in it."""
    if is_remote(path):
        _gfile().rmtree(path)
    else:
        shutil.rmtree(path)


def read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    if is_remote(path):
        import tensorflow as tf

        try:
            with tf.io.gfile.GFile(path, "rb") as file:
                return file.read()
        except tf.errors.OpError as error:
            raise OSError(f"{path}: {error.message}") from error
    with open(path, "rb") as file:
        return file.read()


def write(path: str, content: bytes) -> None:
    """Writes a file whole: beside its place, then renamed."""
    beside = f"{path}.partial"
    if is_remote(path):
        with _gfile().GFile(beside, "wb") as file:
            file.write(content)
        _gfile().rename(beside, path, overwrite=True)
        return
    with open(beside, "wb") as file:
        file.write(content)
    os.replace(beside, path)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
