"""Hidden folders in which an export is written before it gets its name, or loses it.

A process holds a lock of its folder (`flock`), which ends with the process. So the next publication
knows the folders of killed processes and removes them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator

_BEGINNING = ".publishing-"
# Where the file system has no such locks (NFS): longer than any export takes.
_STALE_SECONDS = 24 * 3600.0


@contextlib.contextmanager
def staging_folder(parent: str) -> Iterator[str]:
    """Makes an empty hidden folder in `parent`, and removes what is left of it at the end."""
    path, descriptor = _make_locked_folder(parent)
    try:
        yield path
    finally:
        # What cannot be removed now, such as on a disk that failed, is left to the next
        # publication: the error that is raised here is that of the writer.
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_folder(path: str, parent: str) -> None:
    """Removes a folder that others may read: hidden in `parent` as a whole, then deleted.

    Raises:
        FileNotFoundError: another process removed it.
    """
    with staging_folder(parent) as staging:
        os.rename(path, os.path.join(staging, "removed"))


def remove_abandoned(parent: str) -> None:
    """Removes the hidden folders in `parent` whose processes have ended."""
    for name in os.listdir(parent):
        if not name.startswith(_BEGINNING):
            continue
        path = os.path.join(parent, name)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:  # Another process finished with it, or it is another user's.
            continue
        try:
            is_locked = _try_lock(descriptor, fcntl.LOCK_EX)
            age = time.time() - os.fstat(descriptor).st_mtime
            if is_locked or (is_locked is None and age > _STALE_SECONDS):
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(descriptor)


def _make_locked_folder(parent: str) -> tuple[str, int]:
    """Returns a new folder and the descriptor that holds its lock."""
    while True:
        path = os.path.join(parent, f"{_BEGINNING}{uuid.uuid4().hex}")
        os.mkdir(path)
        with contextlib.suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            # Another publication may remove it before it is locked; then there is another name.
            # Shared, because NFS refuses an exclusive lock of a folder.
            if _try_lock(descriptor, fcntl.LOCK_SH) is not False and os.path.isdir(path):
                return path, descriptor
            os.close(descriptor)


def _try_lock(descriptor: int, kind: int) -> bool | None:
    """Locks a folder if no other process holds it; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
