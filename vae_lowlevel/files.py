"""Files of a run, on a local disk or at an address such as gs://bucket/runs.

TensorFlow's file systems read and write addresses. A local disk does not need TensorFlow, so that
a wrong folder is refused at once.
"""

from __future__ import annotations

import os
import shutil
from typing import Any

from vae_lowlevel.errors import ConfigError


def is_remote(path: str) -> bool:
    """Returns whether a path is an address, which has a scheme."""
    return "://" in path


def check_reachable(path: str, flag: str) -> None:
    """Checks that TensorFlow can read an address; a local path always passes.

    Raises:
        ConfigError: there is no file system for the address, or access is denied.
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
    """Returns whether the path is an existing file."""
    if is_remote(path):
        return _gfile().exists(path) and not _gfile().isdir(path)
    return os.path.isfile(path)


def is_folder(path: str) -> bool:
    """Returns whether the path is an existing folder."""
    return _gfile().isdir(path) if is_remote(path) else os.path.isdir(path)


def list_folder(path: str) -> list[str]:
    """Returns the names of the entries of a folder."""
    if not is_remote(path):
        return os.listdir(path)
    # In buckets, the names of folders end in "/".
    return [name.rstrip("/") for name in _gfile().listdir(path)]


def make_folder(path: str) -> None:
    """Creates a folder and its parents where they are missing."""
    if is_remote(path):
        _gfile().makedirs(path)
    else:
        os.makedirs(path, exist_ok=True)


def delete_folder(path: str) -> None:
    """Deletes a folder with its content."""
    if is_remote(path):
        _gfile().rmtree(path)
    else:
        shutil.rmtree(path)


def read(path: str) -> bytes:
    """Returns the content of a file.

    Raises:
        OSError: the file does not exist or cannot be read.
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
    """Writes a file in one step: under a temporary name next to it, which is then renamed."""
    partial = f"{path}.partial"
    if is_remote(path):
        with _gfile().GFile(partial, "wb") as file:
            file.write(content)
        _gfile().rename(partial, path, overwrite=True)
        return
    with open(partial, "wb") as file:
        file.write(content)
    os.replace(partial, path)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
