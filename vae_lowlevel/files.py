"""Files of a run, on a local disk or at an address such as gs://bucket/runs.

TensorFlow's file systems read and write addresses. A local disk does not need TensorFlow, so that
a wrong folder is refused at once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from typing import Any

from vae_lowlevel.errors import ConfigError

# Ends the name of a file that is being written.
PARTIAL = ".partial"
# Ends the name of a file that is damaged and no longer used.
DAMAGED = ".damaged"


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
    """Creates a folder and its parents where they are missing, durably on a disk."""
    if is_remote(path):
        _gfile().makedirs(path)
        return
    missing = os.path.abspath(path)
    changed = []
    while not os.path.isdir(missing):
        missing = os.path.dirname(missing)
        changed.append(missing)
    os.makedirs(path, exist_ok=True)
    for parent in changed:
        sync(parent)


def delete(path: str) -> None:
    """Deletes a file, a link (not what it leads to), or a folder with its content."""
    if is_remote(path):
        (_gfile().rmtree if _gfile().isdir(path) else _gfile().remove)(path)
    elif os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.remove(path)


def rename(path: str, new_path: str) -> None:
    """Renames a file, and replaces one of the new name."""
    if is_remote(path):
        _gfile().rename(path, new_path, overwrite=True)
    else:
        os.replace(path, new_path)


def set_aside(path: str) -> str:
    """Renames a damaged file, so that it is no longer used, yet kept; returns the new name."""
    rename(path, path + DAMAGED)
    return path + DAMAGED


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


def check_readable(path: str) -> None:
    """Reads the beginning of a file on a disk; an address always passes.

    Raises:
        OSError: the file cannot be read.
    """
    if not is_remote(path):
        with open(path, "rb") as file:
            file.read(1)


def write(path: str, content: bytes) -> None:
    """Writes a file in one step: under a temporary name next to it, which is then renamed.

    On a disk, the new content is stored durably before it replaces the old: after a loss of power
    the file holds the one or the other.

    Raises:
        OSError: the file cannot be written; what was there before stays.
    """
    partial = f"{path}{PARTIAL}"
    if is_remote(path):
        import tensorflow as tf

        try:
            with tf.io.gfile.GFile(partial, "wb") as file:
                file.write(content)
            tf.io.gfile.rename(partial, path, overwrite=True)
        except tf.errors.OpError as error:
            raise OSError(f"{path}: {error.message}") from error
        return
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
        sync(os.path.dirname(path))
    except OSError as error:
        with contextlib.suppress(OSError):
            os.remove(partial)
        raise OSError(error.errno, error.strerror, path) from error


def sync(path: str) -> None:
    """Stores a file, or the names in a folder, durably on its disk; an address needs no such step.

    Args:
        path: a file or a folder; empty for the working folder.
    """
    if is_remote(path):
        return
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some network file systems cannot sync the names in a folder.
        if error.errno != errno.EINVAL or not os.path.isdir(path or "."):
            raise
    finally:
        os.close(descriptor)


def sync_tree(folder: str) -> None:
    """Stores all files and names below a local folder durably, the folder itself last."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync(os.path.join(parent, name))
        sync(parent)


def _gfile() -> Any:
    import tensorflow as tf

    return tf.io.gfile
