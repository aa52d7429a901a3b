"""Versions of an export: finds and checks them, and adds one so that others see whole ones only."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Callable

from vae_lowlevel import files
from vae_lowlevel.errors import RunError, first_line
from vae_lowlevel.serving.staging import remove_abandoned, remove_folder, staging_folder

GRAPH = "saved_model.pb"
CHECKSUMS = "checksums.sha256"
PUBLICATION = "publication.txt"


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
        if files.is_file(os.path.join(folder, GRAPH)):
            return folder
    return None


def check_graph(folder: str) -> None:
    """Compares the graph of a version to its checksum; an export without checksums passes.

    TensorFlow checks what it reads of `variables/`, but not the graph: a changed byte in it can
    change the outputs, or end the process that loads it.

    Args:
        folder: the version's folder, or its address.

    Raises:
        RunError: the graph was changed, or cannot be read.
    """
    if not files.is_file(os.path.join(folder, CHECKSUMS)):
        return
    try:
        lines = files.read(os.path.join(folder, CHECKSUMS)).decode(errors="replace").splitlines()
        line = _checksum_line(folder, GRAPH)
    except OSError as error:
        raise RunError(f"{folder}: not a readable export: {error}") from error
    if line not in lines:
        raise RunError(
            f"{folder}: not a readable export: {GRAPH} differs from the file that was exported, by "
            f"{CHECKSUMS}. Copy the version again, or export the run again"
        )


def publish(
    write: Callable[[str], None],
    base_dir: str,
    name: str,
    keep_versions: int | None = None,
    publication: str | None = None,
) -> str:
    """Writes the next version `<base_dir>/<name>/<version>`.

    It is written to a hidden folder in `base_dir`, stored durably and renamed, so a version appears
    complete or not at all, and two processes that publish at the same time get two versions. What
    killed processes left is removed.

    Args:
        write: fills the empty folder it receives.
        base_dir: folder of all exports, on a disk; created if missing.
        name: one folder name.
        keep_versions: number of newest versions to keep; None for all.
        publication: kept in the version as `publication.txt`. A version with the same text is
            returned instead of a new one: the process that wrote it was killed before it could
            tell. None: always a new version.

    Returns:
        The version's folder.

    Raises:
        RunError: the folder cannot be written.
    """
    import tensorflow as tf

    folder = os.path.join(base_dir, name)
    try:
        os.makedirs(base_dir, exist_ok=True)
        remove_abandoned(base_dir)
        version = None if publication is None else _find_publication(folder, publication)
        if version is None:
            version = _publish_next(write, base_dir, folder, publication)
        if keep_versions is not None:
            _prune(base_dir, folder, keep_versions)
        return version
    except (OSError, tf.errors.OpError) as error:
        raise RunError(
            f"cannot write an export to {folder}: {first_line(error)}\nCheck the disk and the "
            "permissions, or choose another --export_dir"
        ) from error


def _find_publication(folder: str, publication: str) -> str | None:
    for version in reversed(versions(folder)):
        path = os.path.join(folder, version)
        with contextlib.suppress(FileNotFoundError):
            if files.read(os.path.join(path, PUBLICATION)).decode(errors="replace") == publication:
                return path
    return None


def _publish_next(
    write: Callable[[str], None], base_dir: str, folder: str, publication: str | None
) -> str:
    with staging_folder(base_dir) as staging:
        write(staging)
        if publication is not None:
            files.write(os.path.join(staging, PUBLICATION), publication.encode())
        _write_checksums(staging)
        files.sync_tree(staging)
        version = _move_to_next_version(staging, folder)
    # Each of these folders may have been new.
    for changed in (folder, base_dir, os.path.dirname(os.path.abspath(base_dir))):
        files.sync(changed)
    return version


def _write_checksums(folder: str) -> None:
    """Writes one line per file of the folder, which `sha256sum -c` reads."""
    names = sorted(
        os.path.relpath(os.path.join(parent, name), folder)
        for parent, _, found in os.walk(folder)
        for name in found
    )
    lines = [_checksum_line(folder, name) for name in names]
    files.write(os.path.join(folder, CHECKSUMS), "\n".join([*lines, ""]).encode())


def _checksum_line(folder: str, name: str) -> str:
    return f"{hashlib.sha256(files.read(os.path.join(folder, name))).hexdigest()}  {name}"


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
    """Removes all but the newest versions."""
    for version in versions(folder)[:-keep_versions]:
        with contextlib.suppress(FileNotFoundError):  # Another export pruned it.
            remove_folder(os.path.join(folder, version), base_dir)
