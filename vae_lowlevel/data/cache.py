"""Where data files are looked for and downloads kept."""

from __future__ import annotations

import os
import pathlib

from vae_lowlevel.errors import DataError

DATA_DIR_VARIABLE = "VAE_LOWLEVEL_DATA_DIR"


def cache_folder() -> pathlib.Path:
    """Returns `$XDG_CACHE_HOME/vae_lowlevel` or `~/.cache/vae_lowlevel`.

    Raises:
        DataError: there is no home folder.
    """
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification has relative paths ignored.
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        raise DataError(
            "expected a home folder to keep downloads in, found none; set XDG_CACHE_HOME or give "
            "--data_dir=<folder with the files>"
        )
    return pathlib.Path(base) / "vae_lowlevel"
