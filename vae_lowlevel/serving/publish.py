"""Writes an export so that whoever watches the folder sees whole versions only."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel.errors import RunError


def versions(folder: str) -> list[str]:
    """Returns the integer names in a folder, oldest first; none if there is no such folder."""
    if not os.path.isdir(folder):
        return []
    names = [name for name in os.listdir(folder) if name.isascii() and name.isdecimal()]
    return sorted(names, key=int)


def next_version(folder: str) -> str:
    """Returns the integer after the newest version in a folder, from 1."""
    present = versions(folder)
    return str(int(present[-1]) + 1) if present else "1"


def newest_export(path: str) -> str | None:
    """Returns `path` if it is an export, else its newest version that is one, else None."""
    for folder in (path, *(os.path.join(path, name) for name in reversed(versions(path)))):
        if os.path.isfile(os.path.join(folder, "saved_model.pb")):
            return folder
    return None


_STAGING = ".publishing-"
# Older than any export takes: what a killed one left behind.
_STALE_SECONDS = 24 * 3600.0


def publish(
    write: Callable[[str], None], base_dir: str, name: str, keep_versions: int | None = None
) -> str:
    """Writes the next version `<base_dir>/<name>/<version>`.

    It is written to a hidden folder in `base_dir` and renamed, so a version is there whole or not
    at all, and two that publish at once get two versions.

    Args:
        write: fills the folder it is given, which is there and empty.
        base_dir: folder of all exports; made if missing.
        name: one folder name.
        keep_versions: how many versions to keep, the newest; None for all.

    Returns:
        The version's folder.

    Raises:
        RunError: the folder cannot be written.
    """
    staging = os.path.join(base_dir, f"{_STAGING}{uuid.uuid4().hex}")
    folder = os.path.join(base_dir, name)
    try:
        os.makedirs(staging)
        _remove_stale(base_dir)
        write(staging)
        version = _move_to_next_version(staging, folder)
        if keep_versions is not None:
            _prune(base_dir, folder, keep_versions)
        return version
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise RunError(
            f"cannot write an export to {folder}: {error}\nCheck the disk and the permissions, or "
            "choose another --export_dir"
        ) from error
    finally:
        if os.path.isdir(staging):
            shutil.rmtree(staging)


def _move_to_next_version(staging: str, folder: str) -> str:
    os.makedirs(folder, exist_ok=True)
    while True:
        target = os.path.join(folder, next_version(folder))
        try:
            os.rename(staging, target)
        except OSError as error:
            # Another process took this version after we counted: there is a higher one now.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return target


def _prune(base_dir: str, folder: str, keep_versions: int) -> None:
    """Removes all but the newest versions; each is out of sight before it loses a file."""
    for version in versions(folder)[:-keep_versions]:
        hidden = os.path.join(base_dir, f"{_STAGING}{uuid.uuid4().hex}")
        try:
            os.rename(os.path.join(folder, version), hidden)
        except FileNotFoundError:  # Another export prunes, too.
            continue
        shutil.rmtree(hidden)


def _remove_stale(base_dir: str) -> None:
    for name in os.listdir(base_dir):
        path = os.path.join(base_dir, name)
        try:
            age = time.time() - os.path.getmtime(path)
        except FileNotFoundError:  # Another export is done with it.
            continue
        if name.startswith(_STAGING) and age > _STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
