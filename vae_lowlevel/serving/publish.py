"""Versions of an export: finds the newest, and adds one so that others see whole versions only."""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Callable

import tensorflow as tf

from vae_lowlevel import files
from vae_lowlevel.errors import RunError

_STAGING = ".publishing-"
# Longer than any export takes: an older folder was left by a killed process.
_STALE_SECONDS = 24 * 3600.0


def versions(folder: str) -> list[str]:
    """Returns the integer names in a folder, oldest first; none if there is no such folder."""
    if not files.is_folder(folder):
        return []
    names = [name for name in files.list_folder(folder) if name.isascii() and name.isdecimal()]
    return sorted(names, key=int)


def next_version(folder: str) -> str:
    """Returns the integer after the newest version in a folder, from 1."""
    present = versions(folder)
    return str(int(present[-1]) + 1) if present else "1"


def newest_export(path: str) -> str | None:
    """Returns `path` if it is an export, else the newest version in it that is one, else None.

    Args:
        path: a folder, or an address such as gs://bucket/saved_models/fashion.
    """
    for folder in (path, *(os.path.join(path, name) for name in reversed(versions(path)))):
        if files.is_file(os.path.join(folder, "saved_model.pb")):
            return folder
    return None


def publish(
    write: Callable[[str], None], base_dir: str, name: str, keep_versions: int | None = None
) -> str:
    """Writes the next version `<base_dir>/<name>/<version>`.

    It is written to a hidden folder in `base_dir` and renamed, so a version appears complete or not
    at all, and two processes that publish at the same time get two versions.

    Args:
        write: fills the empty folder it receives.
        base_dir: folder of all exports, on a disk; created if missing.
        name: one folder name.
        keep_versions: number of newest versions to keep; None for all.

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
            # Another process took this version after we counted; the next one is free.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return target


def _prune(base_dir: str, folder: str, keep_versions: int) -> None:
    """Removes all but the newest versions; each is hidden before it loses a file."""
    for version in versions(folder)[:-keep_versions]:
        hidden = os.path.join(base_dir, f"{_STAGING}{uuid.uuid4().hex}")
        try:
            os.rename(os.path.join(folder, version), hidden)
        except FileNotFoundError:  # Another export pruned it.
            continue
        shutil.rmtree(hidden)


def _remove_stale(base_dir: str) -> None:
    for name in os.listdir(base_dir):
        path = os.path.join(base_dir, name)
        try:
            age = time.time() - os.path.getmtime(path)
        except FileNotFoundError:  # Another export has finished with it.
            continue
        if name.startswith(_STAGING) and age > _STALE_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
