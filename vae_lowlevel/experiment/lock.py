"""One training per run folder: a lock that ends with the process that holds it."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator

from vae_lowlevel import files
from vae_lowlevel.errors import RunError


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Holds a lock file, which is deleted at the end.

    The operating system releases the lock when the process ends, however it ends; the file of a
    killed process locks nothing. Network file systems that pass locks on to their server (NFS since
    Linux 2.6.12; Lustre and GPFS if mounted so) lock out other machines too. Where the file system
    has no locks, and at addresses such as gs://, nothing is locked.

    Args:
        path: the lock file; its folder exists.

    Raises:
        RunError: another process holds the lock.
    """
    if files.is_remote(path):
        yield
        return
    descriptor = _open_locked(path)
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        with contextlib.suppress(OSError):
            os.remove(path)
        os.close(descriptor)


def _open_locked(path: str) -> int:
    import fcntl

    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The holder before may have deleted the file after it was opened here.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:
            pass
        except BlockingIOError:
            holder = os.read(descriptor, 200).decode(errors="replace").strip()
            os.close(descriptor)
            raise RunError(
                f"{os.path.dirname(path)}: another training runs in this folder"
                f"{f', {holder}' if holder else ''}. Wait until it has ended, stop it, or choose "
                "another --model_dir"
            ) from None
        except OSError as error:
            if error.errno in (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK):
                return descriptor
            os.close(descriptor)
            raise
        os.close(descriptor)
