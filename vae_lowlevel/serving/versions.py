"""Versions of an export: subfolders named by integers, as TensorFlow Serving looks for them."""

from __future__ import annotations

import os


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
